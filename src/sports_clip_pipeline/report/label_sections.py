"""Sections on label efficiency: learning curves, labels needed, paired comparisons, cost."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sports_clip_pipeline.pipelines.report.config import Reference
from sports_clip_pipeline.report import figures as fig
from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report import sections
from sports_clip_pipeline.report.method_styles import MethodStyles, display_name, reference_line


def learning_curve(study: sections.StudyResults) -> sections.Section:
    """Learning curves: top-1 accuracy by share of labels."""
    styles = study.styles
    text = (
        f"Top-1 accuracy on {fmt.count(len(study.test_predictions))} test images. Lines are means "
        "over seeds, bands 95 % intervals over images and subsets of the labels; with one subset, "
        "of the images only."
    )
    if set(styles.methods) > set(styles.shown):
        dashes = {styles.line(method)["dash"] for method in styles.methods}
        dashed = "; dashed ones are semi-supervised" if "dash" in dashes else ""
        text += (
            " Shown are the methods that cross-validation prefers, and the baselines"
            f"{dashed}. The legend holds the others."
        )
    columns = {
        "Method": lambda row: study.name(row["method"]),
        "Labels used": lambda row: fmt.fraction_name(row["fraction"]),
        "Images": lambda row: fmt.count(row["labels"]),
        "Seeds": lambda row: fmt.count(len(row["seeds"])),
        "Top-1": lambda row: fmt.percent(row["top1_mean"]),
        fmt.INTERVAL: fmt.point_interval,
        "Macro F1": lambda row: fmt.percent(row["macro_f1_mean"]),
    }
    kinds = {
        "on frozen encoders": study.finetune_curves,
        "trained end to end": study.end_to_end_curves,
    }
    caption = "Accuracy by method and share of labels"
    tables = [
        sections.frame_table(f"{caption}, {kind}", curves, columns)
        for kind, curves in kinds.items()
        if not curves.empty
    ]
    return sections.Section("learning_curve", text, learning_curve_figure(study), folded=tables)


def learning_curve_figure(study: sections.StudyResults) -> go.Figure:
    """Top-1 of each method over the share of labels, with its 95 % band, and published numbers.

    End-to-end methods are points, zero-shot and chance are horizontal lines.
    """
    curves, end_to_end, styles = study.finetune_curves, study.end_to_end_curves, study.styles
    every = curves if end_to_end.empty else pd.concat([curves, end_to_end], ignore_index=True)
    traces = [*_curve_traces(curves, styles), *_end_to_end_traces(end_to_end, styles)]
    ends = [fig.zero_label_position(every), float(every["fraction"].max())]
    for name, key in (("Zero-shot", "top1"), ("Chance", "chance")):
        share = float(study.zero_shot_metrics[key])
        entry = {"name": name, "legendgroup": name, "line": reference_line(name), "mode": "lines"}
        traces.append(fig.scatter(ends, [share] * 2, [fmt.percent(share)] * 2, **entry))
    traces += _published(every, ends, study.config.reference)
    x, y = fig.fraction_axis(every, zero_labels=True), fig.share_axis(step=0.1)
    return go.Figure(traces).update_layout(fig.layout(560, xaxis=x, yaxis=y))


def _curve_traces(curves: pd.DataFrame, styles: MethodStyles) -> Iterator[go.Scatter]:
    for method in (method for method in styles.methods if method in set(curves["method"])):
        rows = curves[curves["method"] == method].sort_values("fraction")
        x, band = rows["fraction"].tolist(), styles.band(method)
        yield fig.scatter(  # the outline of the intervals
            x + x[::-1],
            [*rows["top1_high"], *rows["top1_low"].iloc[::-1]],
            fill="toself",
            fillcolor=band,
            line={"width": 0, "color": band},
            mode="lines",
            showlegend=False,
            **styles.trace(method),
        )
        hover = map(_curve_hover, rows.to_dict("records"))
        style = {"mode": "lines+markers", **styles.series(method)}
        yield fig.scatter(x, rows["top1_mean"], hover, **style)


def _end_to_end_traces(curves: pd.DataFrame, styles: MethodStyles) -> Iterator[go.Scatter]:
    """Points with error bars, as few label fractions are trained end to end."""
    ordered = curves.sort_values("fraction")
    for method in curves["method"].unique():
        rows = ordered[ordered["method"] == method]
        means, color, marker = rows["top1_mean"], styles.color(method), styles.marker(method)
        hollow = {"symbol": f"{marker['symbol']}-open", "line": {"width": 2, "color": color}}
        yield fig.scatter(
            rows["fraction"],
            means,
            map(_curve_hover, rows.to_dict("records")),
            error_y=fig.error_bars(means, rows["top1_low"], rows["top1_high"], color),
            mode="markers",
            marker={**marker, "size": 11, **hollow},
            **styles.trace(method),
        )


def _curve_hover(row: Mapping[Any, Any]) -> str:
    seeds = len(row["seeds"])
    subsets = "one subset of the labels" if seeds == 1 else f"mean of {seeds} subsets of the labels"
    return (
        f"{fmt.fraction_name(row['fraction'])} of the labels ({fmt.count(row['labels'])})<br>"
        f"{fmt.percent(row['top1_mean'])}, {fmt.INTERVAL} {fmt.point_interval(row)}<br>{subsets}"
    )


def _published(
    every: pd.DataFrame, ends: Sequence[float], reference: Sequence[Reference]
) -> Iterator[go.Scatter]:
    """Stars for published numbers, at the share of labels that they used."""
    x = {"zero_shot_top1": ends[0], "all_labels_top1": ends[1]}
    x["fewest_labels_top1"] = float(every["fraction"].min())
    entries = [entry for entry in reference if entry.measure in x]
    star = {"mode": "markers", "marker": {"symbol": "star", "size": 13, "color": fig.INK[0]}}
    for label in dict.fromkeys(entry.label for entry in entries):
        points = [
            (x[e.measure], e.value, fmt.percent(e.value)) for e in entries if e.label == label
        ]
        name = {"legendgroup": f"published {label}", "name": fmt.plot_text(label)}
        positions, shares, hover = zip(*points, strict=True)
        yield fig.scatter(positions, shares, hover, **star, **name)


def labels_needed(study: sections.StudyResults) -> sections.Section:
    """Labels needed to reach an accuracy: a row a highlighted method, a column an accuracy."""
    needed = study.labels_needed
    targets = sorted(set(needed["target"]))
    cells = {(row["method"], row["target"]): row for row in needed.to_dict("records")}
    rows = [
        (study.name(method), *(needed_cell(cells.get((method, t))) for t in targets))
        for method in study.styles.shown
        if method in set(needed["method"])
    ]
    columns = {
        "Method": lambda row: study.name(row["method"]),
        "Accuracy": lambda row: fmt.fraction_name(row["target"]),
        "Images": lambda row: fmt.count(row["labels"]),
        fmt.INTERVAL: lambda row: _range(row["low"], row["high"]) or "–",
        "How known": lambda row: row["kind"],
    }
    heads = ("Method", *map(fmt.fraction_name, targets))
    every = needed.sort_values(["target", "labels", "method"])
    return sections.Section(
        "labels_needed",
        tables=(sections.DataTable("Labelled images needed to reach an accuracy", heads, rows),),
        folded=(sections.frame_table("Labels needed, every method", every, columns),),
    )


def needed_cell(row: Mapping[Any, Any] | None) -> sections.Cell:
    """Labels needed with their interval and whether they are extrapolated or out of reach."""
    if row is None:
        return "–"
    labels, spread = fmt.count(row["labels"]), _range(row["low"], row["high"])
    if row["kind"] == "measured below":
        return f"≤ {labels}", "fewest measured"
    if not math.isfinite(row["labels"]):
        return "out of reach", spread
    if row["kind"] == "extrapolated":
        return f"≈ {labels}", f"extrapolated, {spread}"
    return labels, spread


def _range(low: float, high: float) -> str:
    """An interval of counts, which may be open above; empty if it is not known."""
    if not math.isfinite(low):
        return ""
    return f"{fmt.count(low)}{f'–{fmt.count(high)}' if math.isfinite(high) else ' or more'}"


def paired_comparisons(study: sections.StudyResults) -> sections.Section:
    """Paired tests of each method against the best by cross-validation."""
    paired = study.paired_comparisons
    columns = {
        "Method": lambda row: study.name(row["method"]),
        "Against": lambda row: (
            "zero-shot" if row["role"] == "zero_shot" else study.name(row["against"])
        ),
        "Labels used": lambda row: fmt.fraction_name(row["fraction"]),
        "Seeds": lambda row: fmt.count(row["seeds"]),
        "Points": lambda row: fmt.points(row["difference"]),
        fmt.INTERVAL: lambda row: f"{fmt.points(row['low'])} to {fmt.points(row['high'])}",
        "p": lambda row: fmt.p_value(row["p_value"]),
        "p after Holm": lambda row: fmt.p_value(row["p_holm"]),
    }
    rows = paired.sort_values(["role", "fraction", "difference"])
    table = sections.frame_table("Paired comparisons", rows, columns, texts=2)
    return sections.Section("paired", figure=paired_figure(study), folded=(table,))


def paired_figure(study: sections.StudyResults) -> go.Figure:
    """Difference in points of each method to the best by cross-validation, over label fractions.

    Points are filled where the difference is significant. No traces without comparisons of role
    `best`.
    """
    paired, curves, styles = study.paired_comparisons, study.finetune_curves, study.styles
    rows = paired[paired["role"] == "best"]
    if rows.empty:
        return go.Figure()
    best = rows.drop_duplicates("fraction")  # the best itself is at zero
    zero = {"difference": 0.0, "low": 0.0, "high": 0.0, "distinguishable": False}
    rows = pd.concat([rows, best.assign(method=best["against"], **zero)], ignore_index=True)
    methods = [method for method in styles.methods if method in set(rows["method"])]
    shown = [method for method in methods if method in styles.shown]
    # Shown methods are shifted sideways, so that error bars do not hide each other.
    shifts = {method: 1.04 ** (i - (len(shown) - 1) / 2) for i, method in enumerate(shown)}
    figure = go.Figure()
    for method in methods:
        own = rows[rows["method"] == method].sort_values("fraction")
        figure.add_trace(_paired_trace(own, method, styles, shifts.get(method, 1.0)))
    measured = curves[curves["fraction"].isin(rows["fraction"])]
    ends = [float(measured["fraction"].min()), float(measured["fraction"].max())]
    entry = {"legendgroup": "best", "name": "Best by cross-validation"}
    zero_line = fig.scatter(ends, [0, 0], mode="lines", line=reference_line("Zero-shot"), **entry)
    vertical = fig.axis("Points to the best by cross-validation")
    figure.update_layout(fig.layout(460, xaxis=fig.fraction_axis(measured), yaxis=vertical))
    return figure.add_trace(zero_line)


def _paired_trace(
    rows: pd.DataFrame, method: str, styles: MethodStyles, shift: float
) -> go.Scatter:
    color = styles.color(method)
    differences, lows, highs = (100 * rows[name] for name in ("difference", "low", "high"))
    symbol = styles.marker(method)["symbol"]
    symbols = [symbol if filled else f"{symbol}-open" for filled in rows["distinguishable"]]
    trace = fig.scatter(
        rows["fraction"] * shift,
        differences,
        [_paired_hover(row, styles) for row in rows.to_dict("records")],
        error_y=fig.error_bars(differences, lows, highs, color),
        mode="lines+markers",
        **styles.series(method),
    )
    marker = {"symbol": symbols, "line": {"width": 2, "color": color}}
    return trace.update(line_width=1.2, marker=marker)


def _paired_hover(row: Mapping[Any, Any], styles: MethodStyles) -> str:
    share = f"{fmt.fraction_name(row['fraction'])} of the labels"
    if row["method"] == row["against"]:
        return f"{share}<br>the best by cross-validation"
    difference, low, high = (fmt.points(row[name]) for name in ("difference", "low", "high"))
    return (
        f"{share}, against {styles.name(row['against'])}<br>{difference} points, {fmt.INTERVAL} "
        f"{low} to {high}<br>p {fmt.p_value(row['p_holm'])} after Holm"
    )


def inference_cost(study: sections.StudyResults) -> sections.Section:
    """Accuracy by inference cost: parameters and milliseconds of each set of image encoders."""
    cost = study.inference_cost.sort_values(["ms_per_image", "parameters"])
    top1 = _top1_columns(cost)
    heads = ("Encoders", "Method", "Parameters", "ms per image", *map(fmt.fraction_name, top1))
    rows = [
        (
            row["encoders"],
            study.name(row["method"]),
            fmt.millions(row["parameters"]),
            fmt.decimal(row["ms_per_image"]),
            *(fmt.percent(row[name]) for name in top1.values()),
        )
        for row in cost.to_dict("records")
    ]
    table = sections.DataTable(
        "Top-1 by share of the labels, and inference cost", heads, rows, texts=2
    )
    figure = inference_cost_figure(cost, study.styles)
    return sections.Section("inference_cost", figure=figure, folded=(table,))


def _top1_columns(cost: pd.DataFrame) -> dict[float, str]:
    """Label fraction -> column `top1_F` of the table of inference cost, by growing fraction."""
    names = [name for name in map(str, cost.columns) if name.startswith("top1_")]
    return dict(sorted((float(name.removeprefix("top1_")), name) for name in names))


def inference_cost_figure(cost: pd.DataFrame, styles: MethodStyles) -> go.Figure:
    """Top-1 of each set of encoders with the fewest, a middle and the most labels, by cost.

    Args:
        cost: `StudyResults.inference_cost`, cheapest first. Of several methods on the same
            encoders, the one that comes first in `styles` is drawn.
    """
    order = {method: i for i, method in enumerate(styles.methods)}
    ranks = cost["method"].map(lambda method: order.get(method, len(order)))
    best = cost.loc[ranks.sort_values(kind="stable").index].drop_duplicates("encoders")
    rows = cost.loc[cost.index.isin(best.index)]
    titles = [
        f"{row['encoders']}, {_milliseconds(row['ms_per_image'])}: "
        f"{display_name(row['method'], styles.names)}"
        for row in rows.to_dict("records")
    ]
    top1 = _top1_columns(rows)
    fractions = list(top1)
    series = []
    for fraction in dict.fromkeys(fractions[i] for i in (0, len(fractions) // 2, -1)):
        shares = rows[top1[fraction]].astype(float).tolist()
        series.append(fig.Series(f"{fmt.fraction_name(fraction)} of the labels", shares))
    return fig.interval_plot(titles, series)


def _milliseconds(time_ms: float) -> str:
    return "time not measured" if math.isnan(time_ms) else f"{time_ms:.3g} ms per image"
