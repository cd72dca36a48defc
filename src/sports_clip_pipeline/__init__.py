"""From image captions and a few labels to a label-efficiency report, as one Kedro DAG."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sports_clip_pipeline.clip.folder import load_clip
    from sports_clip_pipeline.predictor.onnx_export import load_exported
    from sports_clip_pipeline.predictor.predictor import load_predictor

__version__ = "0.1.0"
__all__ = ["__version__", "load_clip", "load_exported", "load_predictor"]

_HOMES = {
    "load_clip": "sports_clip_pipeline.clip.folder",
    "load_exported": "sports_clip_pipeline.predictor.onnx_export",
    "load_predictor": "sports_clip_pipeline.predictor.predictor",
}


def __getattr__(name: str) -> Any:
    """Import a loader when it is first asked for: all but `load_exported` bring torch with them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
