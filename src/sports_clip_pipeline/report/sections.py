"""What the functions of the report's sections take and return: study results, sections, tables."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sports_clip_pipeline.pipelines.report.config import ModelCardConfig, ReportConfig
from sports_clip_pipeline.report.method_styles import MethodStyles, display_name, method_styles

Document = Mapping[str, Any]


@dataclass(frozen=True)
class StudyResults:
    """The datasets that the report reads, by their names in the catalog.

    Tables may be empty, which leaves their section out. Shares are in [0, 1], `low`
    and `high` are the ends of 95 % intervals, fraction 0 is zero-shot.

    Attributes:
        finetune_curves, end_to_end_curves: `method`, `fraction`, `labels`, `seeds`, `top1_mean`,
            `top1_low`, `top1_high`, `macro_f1_mean`.
        cam_eval_verdicts: of `cam_eval`; its `answers` is a fingerprint of the predictions.
        evaluation_log: the logged evaluations on the test images.
    """

    config: ReportConfig
    model_card: ModelCardConfig
    zero_shot_metrics: Document
    retrieval_metrics: Document
    finetune_trials: pd.DataFrame
    finetune_curves: pd.DataFrame
    finetune_metrics: Document
    test_predictions: pd.DataFrame
    pretrain_history: pd.DataFrame
    ingest_audit: Document
    tokenize_audit: Document
    embed_audit: Document
    quarantine: pd.DataFrame
    duplicates: pd.DataFrame
    cam_gallery: Sequence[Any]
    provenance: Document
    end_to_end_trials: pd.DataFrame
    end_to_end_curves: pd.DataFrame
    labels_needed: pd.DataFrame
    recommendation: Document
    paired_comparisons: pd.DataFrame
    calibration: pd.DataFrame
    reliability: pd.DataFrame
    class_gains: pd.DataFrame
    confusion_pairs: pd.DataFrame
    label_issues: pd.DataFrame
    label_queries: pd.DataFrame
    thumbnails: Mapping[str, bytes]
    inference_cost: pd.DataFrame
    ablation: pd.DataFrame
    transduction: pd.DataFrame
    cam_eval_verdicts: pd.DataFrame
    evaluation_log: Sequence[dict[str, Any]]

    @property
    def epochs(self) -> int:
        """Epochs of pretraining, without the row of an untrained start."""
        return int((self.pretrain_history["step"] > 0).sum())

    @property
    def clip_encoders(self) -> str:
        """The encoders of the CLIP model; a pair of open_clip's has one name, with its weights."""
        audit = self.embed_audit
        return " and ".join(dict.fromkeys((audit["image_encoder"], audit["text_encoder"])))

    @property
    def best_method(self) -> str:
        """The method of the exported predictor."""
        return str(self.finetune_metrics["best_method"])

    @cached_property
    def styles(self) -> MethodStyles:
        """Colour, symbol and visibility of each method."""
        return method_styles(
            self.finetune_curves, self.finetune_trials, self.end_to_end_curves, self.config
        )

    def name(self, method: str) -> str:
        """A method's display name."""
        return display_name(method, self.config.methods)


Cell = str | tuple[str, str]
"""A table cell: its text, or text and a muted note below it."""


@dataclass(frozen=True)
class DataTable:
    """A table of formatted text; the first cell of a row is its header.

    Attributes:
        texts: how many of the first columns are text; the others are right-aligned numbers.
        groups: headers above the columns, with the number of columns each spans.
        sortable: whether the reader can sort it.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    texts: int = 1
    groups: Sequence[tuple[str, int]] = ()
    sortable: bool = False

    @property
    def group_starts(self) -> frozenset[int]:
        """Indices of the columns at which a named group starts."""
        ends = itertools.accumulate(span for _, span in self.groups)
        pairs = zip(ends, self.groups, strict=True)
        return frozenset(end - span for end, (name, span) in pairs if name)


def frame_table(
    caption: str, frame: pd.DataFrame, columns: Mapping[str, Callable[[Any], Cell]], texts: int = 1
) -> DataTable:
    """A table of a data frame; `columns` maps headers to functions from a row to its cell."""
    rows = [tuple(cell(row) for cell in columns.values()) for row in frame.to_dict("records")]
    return DataTable(caption, tuple(columns), rows, texts)


Thumbnail = tuple[bytes | None, str, str, list[str], str]
"""A small image: its JPEG if there is one, alternative text, title, muted lines, file name."""


@dataclass(frozen=True)
class Section:
    """A section of the page: text, figure, tables and images on one subject.

    Attributes:
        name: id on the page; the figure's dataset is `<name>_figure`.
        text: where it has numbers of the study; the page's template has the other texts.
        tables: shown as they are. folded: shown in a `details` element.
        warning, notes: shown before and after the tables.
        min_width: pixels below which the figure scrolls instead of shrinking.
    """

    name: str
    text: str = ""
    figure: go.Figure | None = None
    tables: Sequence[DataTable] = ()
    folded: Sequence[DataTable] = ()
    thumbnails: Sequence[Thumbnail] = ()
    warning: str = ""
    notes: tuple[str, ...] = ()
    min_width: int = 0
