"""Methods that train through the image tower, by name, all behind one interface."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from sports_clip_pipeline.pipelines.finetune.config import END_TO_END_METHODS

if TYPE_CHECKING:
    from sports_clip_pipeline.training.pixels.methods.interface import PixelMethod


def find_pixel_method(name: str) -> PixelMethod:
    """The `METHOD` of the method's module. Raises: ValueError: no such method."""
    if name not in END_TO_END_METHODS:
        raise ValueError(f"method is one of {', '.join(END_TO_END_METHODS)}, got {name!r}")
    method: PixelMethod = import_module(f"{__name__}.{name}").METHOD
    return method
