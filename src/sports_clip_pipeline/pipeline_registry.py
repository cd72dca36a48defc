"""The pipelines by name; the default one is `ORDER`."""

from importlib import import_module

from kedro.pipeline import Pipeline

ORDER = (
    "ingest", "tokenize", "embed", "pretrain", "zero_shot", "finetune", "cam", "report", "predict",
)  # fmt: skip
OTHER = ("download", "cam_eval", "predict_images", "export")
# Where a pipeline is not `create_pipeline` of the package of its name: functions of packages.
SOURCES = {
    "finetune": (
        "finetune.create_pipeline",
        "finetune.create_end_to_end_pipeline",
        "analysis.create_pipeline",
    ),
    "tokenize": ("embed.create_tokenize_pipeline",),
    "download": ("ingest.create_download_pipeline",),
    "cam_eval": ("cam.create_cam_eval_pipeline",),
    "predict_images": ("predict.create_predict_images_pipeline",),
    "export": ("predict.create_export_pipeline",),
}


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline by its name, and the sum of `ORDER` as `__default__`.

    Each has its nodes in a namespace of its name, which Kedro-Viz shows as one box; datasets keep
    their plain names, as pipelines share them through the catalog.
    """
    pipelines = {name: _create(name) for name in (*ORDER, *OTHER)}
    return {**pipelines, "__default__": sum((pipelines[name] for name in ORDER), Pipeline([]))}


def _create(name: str) -> Pipeline:
    nodes = Pipeline([])
    for source in SOURCES.get(name, (f"{name}.create_pipeline",)):
        package, function = source.split(".")
        module = import_module(f"sports_clip_pipeline.pipelines.{package}.pipeline")
        nodes += getattr(module, function)()
    return Pipeline(nodes, namespace=name, prefix_datasets_with_namespace=False)
