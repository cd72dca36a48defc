"""Explanations: gallery of explained images with filters, and faithfulness of the maps."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain import METHODS
from sports_clip_pipeline.explain.verdicts import predictions_fingerprint
from sports_clip_pipeline.report import figures as fig
from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report.method_styles import reference_line
from sports_clip_pipeline.report.sections import Section, StudyResults, frame_table

# Confidence bands, highest first: key -> name, lower end; the one before is the upper end.
BANDS = {"high": ("90 % or more", 0.9), "middle": ("50 to 90 %", 0.5), "low": ("below 50 %", 0.0)}
OUTCOMES = {
    "right": "Right",
    "wrong": "Wrong",
    "corrected": "Right, zero-shot wrong",
    "broken": "Wrong, zero-shot right",
}
CLASSIFIERS = {"Zero-shot": "zero_shot", "Fine-tuned": "finetuned"}
TARGETS = {"classifier": "Classifier", "prompts": "CLIP with prompts"}
MEASURES = {"road": "ROAD", "insertion": "Insertion", "deletion": "Deletion"}


class Prediction(NamedTuple):
    """A predicted class with its probability, and whether it is the true one."""

    name: str
    probability: str
    right: bool


ExplanationMap = tuple[str, str, bytes, str]
"""An explanation map: question, method, JPEG picture, and alternative text."""


@dataclass(frozen=True)
class Exhibit:
    """An image of the gallery with its maps.

    Attributes:
        predictions: the most probable classes by classifier, zero-shot and fine-tuned.
        band: key of the confidence band of the fine-tuned prediction.
    """

    image: str
    label: str
    predictions: Mapping[str, Sequence[Prediction]]
    band: str
    jpeg: bytes
    maps: tuple[ExplanationMap, ...]

    @property
    def outcomes(self) -> tuple[str, ...]:
        """`right` or `wrong`, and what fine-tuning changed: `corrected`, `broken` or nothing."""
        before, after = (classes[0].right for classes in self.predictions.values())
        first = "right" if after else "wrong"
        return (first,) if before == after else (first, "corrected" if after else "broken")


Filter = tuple[str, str, str, list[tuple[str, str, int]]]
"""A filter by a `data-` attribute: key, label, name of no filter, and choices with their images."""


def compose_exhibits(
    cards: Sequence[Any], predictions: pd.DataFrame, most: int
) -> tuple[Exhibit, ...]:
    """The gallery: the `explain.explainer.Card`s of one image are one exhibit.

    Args:
        most: images to show, right and wrong ones in equal numbers as far as there are any. Images
            with contrast maps follow, all of them.
    Raises: UserFacingError: the maps explain the predictions of another classifier.
    """
    by_image: dict[str, list[Any]] = {}
    for card in cards:
        by_image.setdefault(card.image, []).append(card)
    explained = predictions[predictions["image"].isin(by_image)].to_dict("records")
    rows = {row["image"]: row for row in explained}
    groups: dict[str, list[str]] = {"right": [], "wrong": [], "contrast": []}
    for image, own in by_image.items():
        if image not in rows or rows[image]["finetuned_label"] != own[0].predicted:
            what = f"{image} was explained for another classifier than the one that is reported"
            raise UserFacingError("cam_gallery", what, "run `kedro run --pipelines=cam,report`")
        contrast = any(card.question.startswith("contrast: ") for card in own)
        groups["contrast" if contrast else "right" if own[0].right else "wrong"].append(image)
    right, wrong = groups["right"], groups["wrong"]
    rights = min(len(right), max(most - most // 2, most - len(wrong)))
    shown = [*right[:rights], *wrong[: most - rights], *groups["contrast"]]
    return tuple(_exhibit(by_image[image], rows[image]) for image in shown)


def _exhibit(cards: Sequence[Any], row: Mapping[Any, Any]) -> Exhibit:
    first, label = cards[0], fmt.class_name(cards[0].label)
    probability = float(row["finetuned_probability"])
    return Exhibit(
        image=first.image,
        label=label,
        predictions={name: _top5(prefix, row) for name, prefix in CLASSIFIERS.items()},
        band=next(key for key, (_, low) in BANDS.items() if probability >= low),
        jpeg=first.photo_jpeg,
        maps=tuple(_explanation_map(card, label) for card in cards),
    )


def _top5(prefix: str, row: Mapping[Any, Any]) -> list[Prediction]:
    shares = map(float, row[f"{prefix}_top5_probabilities"])
    return [
        Prediction(fmt.class_name(name), fmt.percent(share), bool(name == row["label"]))
        for name, share in zip(row[f"{prefix}_top5"], shares, strict=True)
    ]


def _explanation_map(card: Any, label: str) -> ExplanationMap:
    kind, _, subject = card.question.partition(": ")
    subject = f"“{subject}”" if kind == "prompt" else fmt.class_name(subject)
    questions = {"contrast": f"Evidence for {subject}", "class": f"Where is {subject}?"}
    alt = f"{card.method} map of the same image of {label} for {subject}"
    return questions.get(kind, subject), card.method, card.map_jpeg, alt


def compose_filters(exhibits: Sequence[Exhibit]) -> list[Filter]:
    """Filters by true class, by outcome and by confidence, with the choices that occur."""

    def choices(names: Mapping[str, str], values: Iterable[str]) -> list[tuple[str, str, int]]:
        counts = Counter(values)
        return [(key, name, counts[key]) for key, name in names.items() if counts[key]]

    labels = [one.label for one in exhibits]
    outcomes = [outcome for one in exhibits for outcome in one.outcomes]
    bands = {key: name for key, (name, _) in BANDS.items()}
    names = {label: label for label in sorted(labels)}
    return [
        ("label", "True class", "All classes", choices(names, labels)),
        ("outcome", "Fine-tuned prediction", "Right and wrong", choices(OUTCOMES, outcomes)),
        ("band", "Its confidence", "Any", choices(bands, [one.band for one in exhibits])),
    ]


def map_quality(study: StudyResults) -> Section:
    """Faithfulness of the explanation maps: a row a method and target."""
    verdicts = study.cam_eval_verdicts
    columns = {
        "Method": lambda row: METHODS.get(row["method"], row["method"]),
        "Explains": lambda row: TARGETS.get(row["target"], row["target"]),
        "Beats the baseline maps in": _beaten,
        "Depends on the weights": _depends,
        "Images": lambda row: fmt.count(row["images"]),
    }
    outdated = (verdicts["answers"] != predictions_fingerprint(study.test_predictions)).any()
    warning = (
        "Measured on an earlier classifier or an earlier CLIP model, not on this report’s. "
        "`kedro run --pipelines=cam_eval,report` measures again."
    )
    return Section(
        "map_quality",
        tables=(frame_table("Faithfulness of each explanation method", verdicts, columns, 4),),
        warning=warning if outdated else "",
        notes=tuple(verdicts.loc[~verdicts["beats_baselines"].astype(bool), "sentence"]),
    )


def _beaten(row: Mapping[Any, Any]) -> str:
    names = [name for name in str(row["measures_beaten"]).split(", ") if name]
    return ", ".join(MEASURES.get(name, name) for name in names) or "none"


def _depends(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["depends_on_weights"]):
        return "not measured"
    answer = "yes" if row["depends_on_weights"] else "no"
    return f"{answer} (rank correlation up to {row['highest_correlation']:.2f})"


def map_quality_figure(summary: pd.DataFrame) -> go.Figure:
    """Difference of each explanation method to the better baseline map, a panel a measure.

    Args:
        summary: `target`, `method`, `subset`, `measure`, `images`, `baseline`,
            `difference` (> 0 is better than the baseline), `difference_low`, `difference_high`,
            `beats_baselines`.
    Returns: points filled where the interval is above zero.
    """
    rows = summary[(summary["subset"] == "all") & summary["difference"].notna()]
    methods = [name for name in METHODS if name in set(rows["method"])]
    titles = [f"{name}, points over the better baseline" for name in MEASURES.values()]
    height, ends = 130 + 44 * len(methods), [len(methods) - 0.5, -0.5]
    figure = make_subplots(
        cols=len(MEASURES), shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=titles
    )
    line = reference_line("Zero-shot")
    for column, measure in enumerate(MEASURES, start=1):
        zero = fig.scatter([0, 0], ends, mode="lines", line=line, showlegend=False)
        figure.add_trace(zero, row=1, col=column)
        of_measure = rows[rows["measure"] == measure]
        for i, (target, own) in enumerate(of_measure.groupby("target", sort=False)):
            name = {"name": TARGETS.get(str(target), target), "legendgroup": target}
            points = _map_quality_points(own, methods, i).update(showlegend=column == 1, **name)
            figure.add_trace(points, row=1, col=column)
    figure.update_layout(fig.layout(height, margin={"l": 8, "r": 12, "t": 56, "b": 8}))
    figure.update_layout(legend_y=1 + 34 / (height - 90))
    figure.update_annotations(font={"size": 12, "color": fig.INK[0]})
    figure.update_xaxes(fig.axis())
    names = fig.category_axis([METHODS[name] for name in methods], showgrid=True, range=ends)
    return figure.update_yaxes(names)


def _map_quality_points(own: pd.DataFrame, methods: list[str], index: int) -> go.Scatter:
    tone, symbol = fig.series_tone(index), fig.MARKERS[index]
    columns = ("difference", "difference_low", "difference_high")
    values, lows, highs = (100 * own[name] for name in columns)
    symbols = [symbol if beats else f"{symbol}-open" for beats in own["beats_baselines"]]
    hover = [
        f"{METHODS[row['method']]}, {row['images']} images<br>"
        f"{fmt.points(row['difference'])} points over the {row['baseline']} map, {fmt.INTERVAL} "
        f"{fmt.points(row['difference_low'])} to {fmt.points(row['difference_high'])}"
        for row in own.to_dict("records")
    ]
    return fig.scatter(
        values,
        [methods.index(name) + 0.16 * (2 * index - 1) for name in own["method"]],
        hover,
        error_x=fig.error_bars(values, lows, highs, tone),
        mode="markers",
        marker={"color": tone, "size": 9, "symbol": symbols, "line": {"width": 2, "color": tone}},
    )
