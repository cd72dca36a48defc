"""Few-label methods by name, all behind one interface."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from sports_clip_pipeline.config.methods import METHODS

if TYPE_CHECKING:
    from sports_clip_pipeline.training.methods.interface import Method


def find_method(name: str) -> Method:
    """The `fit` of the method's module. Raises: ValueError: no such method."""
    if name not in METHODS:
        raise ValueError(f"method is one of {', '.join(METHODS)}, got {name!r}")
    method: Method = import_module(f"{__name__}.{METHODS[name].module}").fit
    return method
