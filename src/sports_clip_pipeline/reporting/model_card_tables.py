"""The tables of the model card: towers with their licences, and what the study took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sports_clip_pipeline.encoders.weight_facts import weight_facts
from sports_clip_pipeline.reporting.blocks import Column, DataTable, table
from sports_clip_pipeline.reporting.labels import count


def towers_table(
    image_towers: Sequence[Mapping[str, Any]], text_encoder: str, text_sha256: str
) -> DataTable:
    """A row a tower: what it is, who made it, the licence of its weights, and which they are.

    Args:
        image_towers: rows of `embed_audit["towers"]`. text_encoder: its name.
        text_sha256: of its weights.
    """
    towers = [
        *((tower["name"], tower["weights_sha256"], tower["parameters"]) for tower in image_towers),
        (text_encoder, text_sha256, None),
    ]
    rows = []
    for name, digest, parameters in towers:
        facts = weight_facts(name)
        size = "–" if parameters is None else f"{parameters / 1e6:.1f} M"
        package = f", package {facts.package}" if facts.package else ""
        title = name if facts.title == name else f"{name}: {facts.title}"
        rows.append((title, f"{facts.origin}{package}", facts.licence, f"{digest[:12]}…", size))
    heads = (
        Column("Tower", False),
        Column("Weights", False),
        Column("Licence", False),
        Column("sha256", False),
        Column("Parameters"),
    )
    return DataTable("Towers and the licences of their weights", heads, tuple(rows))


def compute_table(
    arms: pd.DataFrame, end_to_end_trials: pd.DataFrame, circumstances: Mapping[str, str]
) -> DataTable:
    """What fitting took, and where.

    Args:
        arms, end_to_end_trials: `method`, `elapsed_s` (what the fit took when it was made), `reused`.
        circumstances: further rows.
    """
    facts = {"Arms on frozen towers": _arms(arms)}
    if not end_to_end_trials.empty:
        facts["Arms through the pixels"] = _arms(end_to_end_trials)
    facts |= circumstances
    return table("Compute used", ("What", "How much"), list(facts.items()), texts=2)


def _arms(arms: pd.DataFrame) -> str:
    reused = int(arms["reused"].sum())
    kept = f", {count(reused)} of them kept from earlier runs" if reused else ""
    seconds = float(arms["elapsed_s"].sum())
    return f"{count(len(arms))} of {arms['method'].nunique()} methods{kept}: {duration(seconds)}"


def duration(seconds: float) -> str:
    """Seconds in words, to the second below two hours.

    >>> duration(59.6), duration(754), duration(9000)
    ('1 min 0 s', '12 min 34 s', '2 h 30 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 120:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
