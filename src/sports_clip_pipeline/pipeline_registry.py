"""The pipelines by name; the default one is `ORDER`, in the order of the question."""

from __future__ import annotations

from importlib import import_module

from kedro.pipeline import Pipeline

ORDER = (
    "ingest",
    "tokenize",
    "embed",
    "pretrain",
    "zero_shot",
    "finetune",
    "cam",
    "report",
    "predict",
)
APART = ("download", "cam_eval", "predict_images", "export")


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline under its folder's name, and their sum as `__default__`.

    Each has its nodes in a namespace of its name, which Kedro-Viz shows as one box; datasets keep
    their plain names, as pipelines meet in the catalog.
    """
    pipelines = {name: _boxed(name) for name in (*ORDER, *APART)}
    return {**pipelines, "__default__": sum((pipelines[name] for name in ORDER), Pipeline([]))}


def _boxed(name: str) -> Pipeline:
    module = import_module(f"sports_clip_pipeline.pipelines.{name}.pipeline")
    return Pipeline(module.create_pipeline(), namespace=name, prefix_datasets_with_namespace=False)
