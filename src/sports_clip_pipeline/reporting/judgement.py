"""The study, judged: tables that say what the curves are worth, each of which may be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Judgement:
    """What the study concludes beyond its curves. An empty table leaves its section out.

    Shares are in [0, 1], `low` and `high` are the ends of 95 % intervals, `top1_F` is a column for
    each fraction F of the labels, as `top1_0.01`.

    Attributes:
        end_to_end_curves: of the methods that train through the image tower, as `finetune_curves`.
        labels_needed: `method`, `target`, `labels`, `low`, `high`, `kind` (`interpolated`,
            `extrapolated`, `out of reach` or `measured below`); inf or NaN where there is no end.
        recommendation: `sentences`, a list of texts.
        paired_comparisons: `fraction`, `method`, `against`, `role` (`best` or `zero_shot`),
            `seeds` (number), `difference`, `low`, `high`, `p_value`, `p_holm`, `distinguishable`.
        calibration: a row a method and fraction (0 is zero-shot): `method`, `fraction`, and any of
            `judged_tables.MEASURES`.
        reliability: a row a bin: `method`, `fraction`, `confidence`, `accuracy`, `photographs`.
        class_gains: `label`, `fraction` (0 is zero-shot), `recall`.
        confusion_pairs: `first`, `second`, `photographs`, `first_as_second`, `second_as_first`,
            `share` (of all errors).
        mislabelled: `image`, `label`, `suggested`, `self_confidence`, `rank` (1 first).
        label_queries: `image`, `rank`, `reason`, `predicted`, `probability`, `margin`.
        thumbnails: image -> JPEG.
        price: `towers`, `parameters`, `ms_per_photograph`, `method`, `top1_F`.
        ablation: `name`, `top1`, `low`, `high`, `changed`, `chosen_on`.
        transduction: `method`, `part`, `top1`, `low`, `high`, `prior`.
        cam_eval_verdicts: `target`, `method`, `beats_floors`, `depends_on_weights`,
            `highest_correlation`, `photographs`, `sentence`, `answers` (of
            `evaluation.explanations.answers_mark`).
        ledger: the looks at the evaluation part, as `evaluation.ledger.record_look` gives them,
            or their summary with its `sentence`.
    """

    end_to_end_curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    labels_needed: pd.DataFrame = field(default_factory=pd.DataFrame)
    recommendation: Mapping[str, Any] = field(default_factory=dict)
    paired_comparisons: pd.DataFrame = field(default_factory=pd.DataFrame)
    calibration: pd.DataFrame = field(default_factory=pd.DataFrame)
    reliability: pd.DataFrame = field(default_factory=pd.DataFrame)
    class_gains: pd.DataFrame = field(default_factory=pd.DataFrame)
    confusion_pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    mislabelled: pd.DataFrame = field(default_factory=pd.DataFrame)
    label_queries: pd.DataFrame = field(default_factory=pd.DataFrame)
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    price: pd.DataFrame = field(default_factory=pd.DataFrame)
    ablation: pd.DataFrame = field(default_factory=pd.DataFrame)
    transduction: pd.DataFrame = field(default_factory=pd.DataFrame)
    cam_eval_verdicts: pd.DataFrame = field(default_factory=pd.DataFrame)
    ledger: Sequence[dict[str, Any]] | Mapping[str, Any] = ()


JUDGED = tuple(entry.name for entry in fields(Judgement))
"""Names of the datasets."""
