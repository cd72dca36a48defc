"""What `cam_eval` found, in a table of ready-made texts."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sports_clip_pipeline.explain.names import METHODS
from sports_clip_pipeline.reporting.blocks import DataTable, table
from sports_clip_pipeline.reporting.frames import records
from sports_clip_pipeline.reporting.labels import count

TARGETS = {"classifier": "Classifier", "prompts": "Prompts through CLIP"}
MEASURES = {"road": "ROAD", "insertion": "insertion", "deletion": "deletion"}


def explanations_table(verdicts: pd.DataFrame) -> DataTable:
    """One row a method and target.

    Args:
        verdicts: `target`, `method`, `photographs`, `beats_floors`, `measures_beaten` (names with
            commas between), `depends_on_weights` (bool or None), `highest_correlation`.
    """
    rows = [
        (
            METHODS.get(row["method"], row["method"]),
            TARGETS.get(row["target"], row["target"]),
            _beaten(row),
            _depends(row),
            count(row["photographs"]),
        )
        for row in records(verdicts)
    ]
    heads = ("Method", "Explains", "Beats the floors in", "Follows the weights", "Photographs")
    return table("Whether each way to explain can be trusted", heads, rows, texts=4)


def _beaten(row: dict[str, Any]) -> str:
    names = [name for name in str(row["measures_beaten"]).split(", ") if name]
    return ", ".join(MEASURES.get(name, name) for name in names) or "none"


def _depends(row: dict[str, Any]) -> str:
    if pd.isna(row["depends_on_weights"]):
        return "not looked at"
    says = "yes" if row["depends_on_weights"] else "no"
    return f"{says} (rank correlation up to {row['highest_correlation']:.2f})"
