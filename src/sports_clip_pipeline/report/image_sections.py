"""Sections with images to look at, label issues and active learning, and on explanation maps."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from sports_clip_pipeline.data.image_store import ImageStore
from sports_clip_pipeline.explain import METHODS
from sports_clip_pipeline.explain.verdicts import predictions_fingerprint
from sports_clip_pipeline.report import figures as fig
from sports_clip_pipeline.report import formatting as fmt
from sports_clip_pipeline.report import theme
from sports_clip_pipeline.report.blocks import INTERVAL, Section, Thumbnail, frame_table
from sports_clip_pipeline.report.method_styles import reference_line
from sports_clip_pipeline.report.study import StudyResults

MIMES = ("image/jpeg", "image/png", "image/webp")
TARGETS = {"classifier": "Classifier", "prompts": "CLIP with prompts"}
MEASURES = {"road": "ROAD", "insertion": "Insertion", "deletion": "Deletion"}


def top_ranked(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """The `most` rows of lowest `rank`, in their order; `table` may be empty."""
    return table if table.empty else table.sort_values("rank", kind="stable").head(most)


def draw_thumbnails(
    images: Iterable[str], store: ImageStore, names: Iterable[str], side: int
) -> dict[str, bytes]:
    """JPEG thumbnails of some images, by name.

    Args:
        images: the names of those wanted.
        store: of the corpus.
        names: of the images in the store, row by row.
        side: pixels of the longer side at most.
    Raises: KeyError: an image that is not in the store.
    """
    row = {name: i for i, name in enumerate(names)}
    drawn = {}
    for name in dict.fromkeys(images):
        picture, buffer = store.get(row[name]), io.BytesIO()
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        picture.save(buffer, "JPEG", quality=80)
        drawn[name] = buffer.getvalue()
    return drawn


def data_uri(content: bytes, mime: str) -> str:
    """An image as a data URI.

    Raises: ValueError: `mime` is none of `MIMES`.
    """
    if mime not in MIMES:
        raise ValueError(f"a picture is one of {', '.join(MIMES)}, got {mime!r}")
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def label_issues(study: StudyResults) -> Section | None:
    """Label issues: the images whose label is most likely wrong, by confident learning."""
    rows = top_ranked(study.label_issues, study.config.label_issues)
    if rows.empty:
        return None
    return Section(
        "label_issues",
        "Label issues",
        "Out-of-sample classifiers predict another class for these images, the most confident "
        f"first: {len(rows)} of {len(study.label_issues)} that confident learning finds. "
        "Candidates to review, not certain errors.",
        thumbnails=_thumbnails(
            study,
            rows,
            lambda row: f"{fmt.class_name(row['suggested'])}?",
            lambda row: (
                f"labelled {fmt.class_name(row['label'])}, "
                f"{fmt.percent(row['self_confidence'])} likely",
            ),
            lambda row: f"Image labelled {fmt.class_name(row['label'])}",
        ),
    )


def active_learning(study: StudyResults) -> Section | None:
    """Active learning: the unlabelled images to label next."""
    rows = top_ranked(study.queries, study.config.queried_images)
    if rows.empty:
        return None
    return Section(
        "active_learning",
        "Active learning: what to label next",
        "The unlabelled images with the highest acquisition score for the chosen classifier.",
        thumbnails=_thumbnails(
            study,
            rows,
            lambda row: f"{row['rank']}. {fmt.class_name(row['predicted'])}?",
            lambda row: (
                f"confidence {fmt.percent(row['probability'])}",
                fmt.class_name(row["reason"]),
            ),
            lambda row: f"Unlabelled image, number {row['rank']}",
        ),
    )


def _thumbnails(
    study: StudyResults,
    rows: pd.DataFrame,
    title: Callable[[Any], str],
    lines: Callable[[Any], tuple[str, ...]],
    alt: Callable[[Any], str],
) -> tuple[Thumbnail, ...]:
    """A thumbnail for each row, without a picture where there is none."""
    found = []
    for row in rows.to_dict("records"):
        content = study.thumbnails.get(row["image"])
        src = data_uri(content, "image/jpeg") if content else ""
        found.append(Thumbnail(src, alt(row), title(row), lines(row), row["image"]))
    return tuple(found)


def map_quality(study: StudyResults) -> Section | None:
    """Faithfulness of the explanation maps: a row a method and target."""
    verdicts = study.map_verdicts
    if verdicts.empty:
        return None
    columns = {
        "Method": lambda row: METHODS.get(row["method"], row["method"]),
        "Explains": lambda row: TARGETS.get(row["target"], row["target"]),
        "Beats the baseline maps in": _beaten,
        "Depends on the weights": _depends,
        "Images": lambda row: fmt.count(row["images"]),
    }
    outdated = (verdicts["answers"] != predictions_fingerprint(study.predictions)).any()
    warning = (
        "Measured on an earlier classifier or an earlier CLIP model, not on this report’s. "
        "`kedro run --pipelines=cam_eval,report` measures again."
    )
    return Section(
        "map_quality",
        "Can these maps be trusted?",
        "Each method is compared with maps that know neither the image nor the model (a blob in "
        "the centre, and noise), and with its own maps of the same model with shuffled weights.",
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
            `beats_baselines`; may be empty.
    Returns: points filled where the interval is above zero; without rows, no traces.
    """
    figure = go.Figure()
    if summary.empty:
        return figure
    rows = summary[(summary["subset"] == "all") & summary["difference"].notna()]
    methods = [name for name in METHODS if name in set(rows["method"])]
    measures = [name for name in MEASURES if name in set(rows["measure"])]
    names, ends = [METHODS[name] for name in methods], [len(methods) - 0.5, -0.5]
    height, width = 130 + 44 * len(methods), 1.04 / max(len(measures), 1)
    top = {"xref": "paper", "xanchor": "left", "y": 1, "yref": "paper", "yanchor": "bottom"}
    font = {"size": 12, "color": theme.INK[0]}
    figure.update_layout(theme.layout(height, margin={"l": 8, "r": 12, "t": 56, "b": 8}))
    figure.update_layout(legend_y=1 + 34 / max(height - 90, 1))
    for i, measure in enumerate(measures):
        start, key = i * width, "" if i == 0 else str(i + 1)
        axes = {"xaxis": f"x{key}", "yaxis": f"y{key}"}
        x = theme.axis(domain=[start, start + width - 0.04], anchor=f"y{key}")
        shown: dict[str, Any] = {"showticklabels": i == 0, "showgrid": True, "range": ends}
        y = fig.category_axis(names, anchor=f"x{key}", **shown)
        figure.update_layout({f"xaxis{key}": x, f"yaxis{key}": y})
        title = f"{MEASURES[measure]}, points over the better baseline"
        figure.add_annotation(text=title, x=start, showarrow=False, font=font, **top)
        zero: dict[str, Any] = {
            "mode": "lines",
            "line": reference_line("Zero-shot"),
            "showlegend": False,
        }
        figure.add_trace(fig.scatter([0, 0], ends, **zero, **axes))
        of_measure = rows[rows["measure"] == measure]
        for j, target in enumerate(of_measure["target"].unique()):
            own = of_measure[of_measure["target"] == target]
            figure.add_trace(_map_quality_points(own, methods, j))
            name = {"name": TARGETS.get(target, target), "legendgroup": target}
            figure.data[-1].update(showlegend=i == 0, **name, **axes)
    return figure


def _map_quality_points(own: pd.DataFrame, methods: list[str], index: int) -> go.Scatter:
    tone, symbol = theme.series_tone(index), theme.marker(index)
    columns = ("difference", "difference_low", "difference_high")
    values, lows, highs = (100 * own[name] for name in columns)
    symbols = [symbol if beats else f"{symbol}-open" for beats in own["beats_baselines"]]
    hover = [
        f"{METHODS[row['method']]}, {row['images']} images<br>"
        f"{fmt.points(row['difference'])} points over the {row['baseline']} map, {INTERVAL} "
        f"{fmt.points(row['difference_low'])} to {fmt.points(row['difference_high'])}"
        for row in own.to_dict("records")
    ]
    return fig.scatter(
        values,
        [methods.index(name) + 0.16 * (2 * index - 1) for name in own["method"]],
        hover,
        error_x=fig.error_bars(values, lows, highs, tone, thickness=1.3, width=3),
        mode="markers",
        marker={"color": tone, "size": 9, "symbol": symbols, "line": {"width": 2, "color": tone}},
    )
