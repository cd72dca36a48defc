"""Sections on classes and confidence: F1, recall, confusion matrices, calibration."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sports_clip_pipeline.report import figures as fig
from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report.method_styles import MethodStyles, reference_line
from sports_clip_pipeline.report.sections import DataTable, Section, StudyResults, frame_table

STAGES = ("Zero-shot", "Fine-tuned")
SCORES = {"precision": "Precision", "recall": "Recall", "f1": "F1"}
Scores = Mapping[str, Mapping[str, float]]


def changed_predictions(study: StudyResults) -> str:
    """How many test images fine-tuning corrected and how many it broke, as a sentence."""
    rows = study.test_predictions
    before = rows["zero_shot_label"] == rows["label"]
    after = rows["finetuned_label"] == rows["label"]
    return (
        f"The chosen classifier ({study.name(study.best_method)}) is right on "
        f"{fmt.count((after & ~before).sum())} test images that zero-shot got wrong, "
        f"and wrong on {fmt.count((before & ~after).sum())} that zero-shot got right; "
        f"both are wrong on {fmt.count((~before & ~after).sum())}."
    )


def per_class(study: StudyResults) -> Section:
    """F1, precision and recall of each class, zero-shot and fine-tuned."""
    before, after = study.zero_shot_metrics["per_class"], study.finetune_metrics["per_class"]
    f1 = {label: float(scores["f1"]) for label, scores in after.items()}
    worst, best = min(f1, key=f1.__getitem__), max(f1, key=f1.__getitem__)
    rows = [
        (
            fmt.class_name(label),
            fmt.count(after[label]["support"]),
            *(fmt.percent(scores[label][name]) for scores in (before, after) for name in SCORES),
            fmt.points(f1[label] - float(before[label]["f1"])),
        )
        for label in after
    ]
    heads = ("Class", "Images", *SCORES.values(), *SCORES.values(), "F1 gained")
    groups = (("", 2), *((stage, len(SCORES)) for stage in STAGES), ("", 1))
    caption = "Each class, zero-shot and fine-tuned"
    return Section(
        "per_class",
        f"After fine-tuning, {fmt.class_name(best)} has the highest F1 ({fmt.percent(f1[best])}) "
        f"and {fmt.class_name(worst)} the lowest ({fmt.percent(f1[worst])}).",
        per_class_figure(before, after),
        folded=(DataTable(caption, heads, rows, groups=groups, sortable=True),),
    )


def per_class_figure(zero_shot: Scores, finetuned: Scores) -> go.Figure:
    """F1 of each class, zero-shot and fine-tuned joined by a line, the best fine-tuned on top."""
    order = sorted(finetuned, key=lambda label: float(finetuned[label]["f1"]))
    f1 = [[float(scores[label]["f1"]) for label in order] for scores in (zero_shot, finetuned)]
    x = [v for before, after in zip(*f1, strict=True) for v in (before, after, None)]
    y = [v for i in range(len(order)) for v in (i, i, None)]
    line = {"color": fig.GRID[0], "width": 3}
    figure = go.Figure(fig.scatter(x, y, mode="lines", line=line, showlegend=False))
    for i, (stage, scores) in enumerate(zip(STAGES, (zero_shot, finetuned), strict=True)):
        tone = fig.series_tone(1 - i)
        symbol = {"symbol": ("circle-open", "circle")[i], "line": {"width": 2, "color": tone}}
        hover = [
            f"{_name(label)}<br>{fmt.percent(float(scores[label]['f1']))}, "
            f"{fmt.count(scores[label]['support'])} images"
            for label in order
        ]
        entry = {"legendgroup": stage, "name": stage, "mode": "markers"}
        marker = {"size": 10, "color": tone, **symbol}
        figure.add_trace(fig.scatter(f1[i], range(len(order)), hover, marker=marker, **entry))
    vertical = fig.category_axis(list(map(_name, order)), range=[-0.7, len(order) - 0.3])
    figure.update_layout(fig.layout(110 + 24 * len(order), yaxis=vertical))
    return figure.update_layout(margin_r=28, xaxis=fig.share_axis("F1"))


def _name(label: str) -> str:
    return fmt.plot_text(fmt.class_name(label))


def class_gains(study: StudyResults) -> Section:
    """Recall of each class by share of labels."""
    recalls = recall_by_fraction(study.class_gains)
    shares = recalls.to_numpy()
    names = [fmt.class_name(str(label)) for label in recalls.index]
    most, least = (fmt.points(shares[i, -1] - shares[i, 0]) for i in (0, -1))
    rows = [(name, *map(fmt.percent, row)) for name, row in zip(names, shares, strict=True)]
    heads = ("Class", *(fmt.fraction_name(float(f)) for f in recalls.columns))
    return Section(
        "class_gains",
        "In percent of the class’s test images, the classes that gained most on top. The largest "
        f"gain is that of {names[0]} ({most} points), the smallest that of {names[-1]} ({least}).",
        class_gains_figure(recalls),
        folded=(DataTable("Recall by share of the labels", heads, rows),),
    )


def recall_by_fraction(class_gains: pd.DataFrame) -> pd.DataFrame:
    """Recall, a row a class and a column a label fraction; classes that gained most come first."""
    recalls = class_gains.pivot(index="label", columns="fraction", values="recall").sort_index()
    gain = recalls.iloc[:, -1] - recalls.iloc[:, 0]
    return recalls.loc[gain.sort_values(ascending=False, kind="stable").index]


def class_gains_figure(recalls: pd.DataFrame) -> go.Figure:
    """Heat map of recall with its numbers in percent; `recalls` as of `recall_by_fraction`."""
    classes = [_name(str(label)) for label in recalls.index]
    fractions = [fmt.fraction_name(float(f)) for f in recalls.columns]
    shares = recalls.to_numpy().tolist()
    hover = [
        [
            f"{name}, {fraction} of the labels<br>{fmt.percent(share)} of its images"
            for fraction, share in zip(fractions, row, strict=True)
        ]
        for name, row in zip(classes, shares, strict=True)
    ]
    text = [[f"{100 * share:.0f}" for share in row] for row in shares]
    numbers = {"text": text, "texttemplate": "%{text}", "textfont": {"color": fig.INK[0]}}
    cells = fig.heat_map(shares, hover, fig.SOFT_SCALE, xgap=2, ygap=2, textfont_size=11, **numbers)
    plain: dict[str, Any] = {"tickangle": 0, "ticks": ""}
    names = [name.rstrip(f"{fmt.SPACE}%") for name in fractions]
    top = fig.category_axis(names, "Percent of the labels", side="top", **plain)
    left = fig.category_axis(classes, autorange="reversed", **plain)
    return go.Figure(cells).update_layout(
        fig.layout(100 + 26 * max(len(classes), 4), xaxis=top, yaxis=left)
    )


def confusion(study: StudyResults) -> Section:
    """Confusion matrix of the exported classifier."""
    return _confusion("confusion", study.finetune_metrics)


def zero_shot_confusion(study: StudyResults) -> Section:
    """Confusion matrix of zero-shot classification."""
    return _confusion("zero_shot_confusion", study.zero_shot_metrics)


def _confusion(name: str, metrics: Mapping[str, Any]) -> Section:
    classes, counts = list(map(fmt.class_name, metrics["classes"])), metrics["confusion"]
    rows = [(true, *map(fmt.count, row)) for true, row in zip(classes, counts, strict=True)]
    return Section(
        name,
        "A row for each true class, a column for each predicted one, coloured by the share of the "
        f"row. The diagonal is correct: {fmt.percent(metrics['top1'])} of all images.",
        confusion_figure(metrics["classes"], counts),
        folded=(DataTable("Counts; rows are true classes", ("True class", *classes), rows),),
        min_width=120 + 15 * len(classes),
    )


def confusion_figure(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> go.Figure:
    """Heat map of a (C, C) confusion matrix, as shares of each true class (rows)."""
    names = list(map(_name, classes))
    totals = [max(sum(row), 1) for row in confusion]
    shares = [[n / total for n in row] for row, total in zip(confusion, totals, strict=True)]
    hover = [
        [
            f"{true} predicted as {predicted}<br>"
            f"{fmt.count(n)} of {fmt.count(sum(row))} ({fmt.percent(n / total)})"
            for predicted, n in zip(names, row, strict=True)
        ]
        for true, row, total in zip(names, confusion, totals, strict=True)
    ]
    cells = fig.heat_map(shares, hover, fig.SCALE, xgap=1, ygap=1)
    x = fig.category_axis(names, "Predicted class", tickangle=-90)
    y = fig.category_axis(names, "True class", autorange="reversed")
    return go.Figure(cells).update_layout(
        fig.layout(160 + 19 * max(len(classes), 8), xaxis=x, yaxis=y)
    )


def confusion_pairs(study: StudyResults) -> Section:
    """The pairs of classes that the exported classifier confuses most often."""
    columns = {
        "Class": lambda row: fmt.class_name(row["first"]),
        "And": lambda row: fmt.class_name(row["second"]),
        "Images": lambda row: fmt.count(row["images"]),
        "First as second": lambda row: fmt.count(row["first_as_second"]),
        "Second as first": lambda row: fmt.count(row["second_as_first"]),
        "Of all errors": lambda row: fmt.percent(row["share"]),
    }
    pairs = study.confusion_pairs.head(study.config.confused_pairs)
    table = frame_table("Confused classes", pairs, columns, texts=2)
    return Section("confusion_pairs", tables=(table,))


def reliability(study: StudyResults) -> Section:
    """Reliability diagram and calibration errors by method and share of labels."""
    heads: dict[str, Callable[[Any], str]] = {
        "Method": lambda row: study.name(row["method"]) if row["fraction"] > 0 else "Zero-shot",
        "Labels used": lambda row: fmt.fraction_name(row["fraction"]),
    }
    measures = heads | {
        "Top-1": lambda row: fmt.percent(row["top1"]),
        "Mean confidence": lambda row: fmt.percent(row["confidence"]),
        "Calibration error, equal width": lambda row: fmt.percent(row["ece_equal_width"]),
        "Calibration error, equal mass": lambda row: fmt.percent(row["ece_equal_mass"]),
        "Brier score": lambda row: f"{row['brier']:.3f}",
    }
    bins = heads | {
        "Confidence": lambda row: fmt.percent(row["confidence"]),
        "Accuracy": lambda row: fmt.percent(row["accuracy"]),
        "Predictions": lambda row: fmt.count(row["images"]),
    }
    errors, best = study.calibration, study.best_method
    text = "On the diagonal, confidence equals accuracy; below it, predictions are overconfident."
    own = errors[errors["method"] == best].sort_values("fraction")
    if not own.empty:
        error = f"{100 * own['ece_equal_mass'].iloc[-1]:.1f} points"
        text += f" The expected calibration error of {study.name(best)} is {error}."
    return Section(
        "reliability",
        text,
        reliability_figure(study),
        folded=(
            frame_table("Calibration on the test images", errors, measures),
            frame_table("Reliability, bin by bin", study.reliability, bins),
        ),
    )


def reliability_figure(study: StudyResults) -> go.Figure:
    """Reliability diagrams with the fewest labels and with the most, a line a method."""
    rows = study.reliability.sort_values("confidence")
    measured = rows.loc[rows["fraction"] > 0, "fraction"].astype(float)
    if measured.empty:
        return go.Figure()
    fractions = sorted({measured.min(), measured.max()})
    figure = make_subplots(
        cols=len(fractions),
        shared_yaxes=True,
        subplot_titles=[f"{fmt.fraction_name(fraction)} of the labels" for fraction in fractions],
        horizontal_spacing=0.13,
    )
    line = {"color": fig.MUTED[0], "width": 1}
    for column, fraction in enumerate(fractions, start=1):
        diagonal = fig.scatter([0, 1], [0, 1], mode="lines", line=line, showlegend=False)
        figure.add_trace(diagonal, row=1, col=column)
        for trace in _reliability_traces(rows, fraction, study.styles):
            figure.add_trace(trace.update(showlegend=column == 1), row=1, col=column)
    figure.update_layout(fig.layout(400, margin={"l": 8, "r": 14, "t": 34, "b": 8}))
    figure.update_annotations(font={"size": 12, "color": fig.MUTED[0]})
    figure.update_xaxes(fig.share_axis("Confidence", step=0.5))
    figure.update_yaxes(fig.share_axis(step=0.25))
    return figure.update_yaxes(title=fig.axis("Accuracy")["title"], row=1, col=1)


def _reliability_traces(
    rows: pd.DataFrame, fraction: float, styles: MethodStyles
) -> Iterator[go.Scatter]:
    """The methods, those drawn first on top, and zero-shot."""
    zero_shot: dict[str, Any] = {
        "line": reference_line("Zero-shot"),
        "marker": {"color": fig.MUTED[0]},
    }
    zero_shot |= {"name": "Zero-shot", "legendgroup": "Zero-shot"}
    of_fraction = rows["fraction"] == fraction
    series = [(of_fraction & (rows["method"] == m), styles.series(m)) for m in styles.methods]
    for mask, style in [*series, (rows["fraction"] == 0, zero_shot)]:
        own = rows[mask]
        if not own.empty:
            hover = [
                f"confidence {fmt.percent(row['confidence'])}, accuracy "
                f"{fmt.percent(row['accuracy'])}<br>{fmt.count(row['images'])} predictions"
                for row in own.to_dict("records")
            ]
            trace = fig.scatter(own["confidence"], own["accuracy"], hover, **style)
            yield trace.update(mode="lines+markers", marker_size=6)
