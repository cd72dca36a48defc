"""Contrastive training through the towers themselves, once the projections are learned."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def rooms() -> list[ModuleType]:
    """The modules whose code the result depends on, for fingerprints."""
    names = (
        "averaging", "blocks", "caching", "encoder", "group", "loop", "pairs", "precision", "run",
        "views",
    )  # fmt: skip
    models = ("clip.losses", "clip.model", "clip.projections")
    return [
        *(import_module(f"{__name__}.{name}") for name in names),
        *(import_module(f"sports_clip_pipeline.{name}") for name in models),
    ]
