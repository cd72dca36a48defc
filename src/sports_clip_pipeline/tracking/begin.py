"""Beginning the record of a `kedro run`: its name, tags and parameters."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sports_clip_pipeline.config.tracking import TrackingConfig
from sports_clip_pipeline.tracking.outbox import kept_records
from sports_clip_pipeline.tracking.parameters import flatten
from sports_clip_pipeline.tracking.provenance import device_name, git_tags
from sports_clip_pipeline.tracking.run import DATA_TAG, UPLOAD, TrackedRun
from sports_clip_pipeline.tracking.store import life_folder, open_store, outbox_folder

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

AUDIT = "ingest_audit"
_logger = logging.getLogger(__name__)


def begin(
    config: TrackingConfig,
    study: str,
    run_params: dict[str, Any],
    pipeline: Pipeline,
    catalog: CatalogProtocol,
) -> TrackedRun:
    """Open the store and start the run, with its parameters and tags.

    Args:
        config: the settings of `mlflow.yml`.
        study: the study's name.
        run_params: Kedro's own record of the run, as its hooks get it.
        pipeline: what runs.
        catalog: what it runs on.
    Raises: UserFacingError: the store cannot be opened.
    """
    project = Path(run_params["project_path"])
    pipelines = ",".join(run_params.get("pipeline_names") or ["__default__"])
    tags = {
        "study": study,
        "env": run_params.get("env") or "base",
        "pipelines": pipelines,
        "device": device_name(),
        "mlflow.source.name": f"kedro run --pipelines={pipelines}",
        **git_tags(project),
        **data_tags(pipeline, catalog),
    }
    store = open_store(config, project)
    run = TrackedRun(store, life_folder(project), config.run_name or f"{study} {pipelines}", tags)
    run.log_params(parameters_of(pipeline, catalog))
    remind(project)
    return run


def remind(project: Path) -> None:
    """Say that records of earlier runs wait to be uploaded, where some do."""
    waiting = len(kept_records(outbox_folder(project)))
    if waiting:
        _logger.info("Records of earlier runs that MLflow lacks: %d; %s", waiting, UPLOAD)


def parameters_of(pipeline: Pipeline, catalog: CatalogProtocol) -> dict[str, str]:
    """Every field of every parameter block that the pipeline's nodes take."""
    blocks = sorted(name for name in pipeline.inputs() if name.startswith("params:"))
    flat: dict[str, str] = {}
    for name in blocks:
        flat |= flatten(name.removeprefix("params:"), catalog.load(name))
    return flat


def data_tags(pipeline: Pipeline, catalog: CatalogProtocol) -> dict[str, str]:
    """The digest of the data that stands already, unless this run makes it anew."""
    if AUDIT in pipeline.all_outputs() or AUDIT not in catalog or not catalog.exists(AUDIT):
        return {}
    return digest_in(catalog.load(AUDIT))


def digest_in(audit: dict[str, Any]) -> dict[str, str]:
    """The tag that says which data an audit speaks of."""
    return {DATA_TAG: str(audit[DATA_TAG])} if DATA_TAG in audit else {}
