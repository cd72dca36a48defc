"""Losses of contrastive pretraining, one module each; `find_objective` finds one by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sports_clip_pipeline.objectives.registry import Objective


def find_objective(name: str) -> Objective:
    """The loss of that name. Raises: ValueError: there is none."""
    from sports_clip_pipeline.objectives.registry import OBJECTIVES

    if name not in OBJECTIVES:
        raise ValueError(f"pretrain.loss is one of {', '.join(OBJECTIVES)}, got {name!r}")
    return OBJECTIVES[name]
