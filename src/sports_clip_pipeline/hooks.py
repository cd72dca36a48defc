"""Kedro hook that checks parameters and inputs before a run."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.machine import rank_and_world_size, skip_gc_at_exit, trim_memory

if TYPE_CHECKING:
    from kedro.config import AbstractConfigLoader
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

TOP_LEVEL_PARAMETERS = ("raw_dir", "study")
"""Runtime parameters that name no block: the folder of the raw corpora, the study's name."""
_STUDY = re.compile(r"[a-z0-9_]+")


class CheckHooks:
    """Refuses what Kedro would accept silently, or would find out late."""

    def __init__(self) -> None:
        self._context: KedroContext | None = None

    @hook_impl
    def after_node_run(self) -> None:
        """Return memory that the node has freed to the system."""
        trim_memory()

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check parameter blocks, the study's name and the text encoder."""
        check_parameter_blocks(context.config_loader)
        check_study(context.config_loader)
        check_text_encoders(context.config_loader)
        self._context = context

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Check processes, the images to predict, and the inputs of other pipelines."""
        skip_gc_at_exit()
        from kedro.framework.project import pipelines

        check_torchrun(pipeline)
        if self._context is not None:
            check_predict_images(self._context.config_loader, pipeline)
        check_inputs(run_params, pipeline, catalog, dict(pipelines))


def check_parameter_blocks(loader: AbstractConfigLoader) -> None:
    """Check that each top-level runtime parameter names a parameter block.

    Raises: UserFacingError: names the block and the nearest existing one.
    """
    given = set(loader.runtime_params or {}) - set(TOP_LEVEL_PARAMETERS)
    if not given:
        return
    existing = {*parameter_blocks(loader), *TOP_LEVEL_PARAMETERS}
    for name in sorted(given - existing):
        near = difflib.get_close_matches(name, existing, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        remedy = f"{hint}known are {', '.join(sorted(existing))}"
        raise UserFacingError(f"--params={name}", f"{name} is no parameter block", remedy)


def parameter_blocks(loader: Any) -> set[str]:
    """The top-level keys of the parameter files, without what `--params` adds to them."""
    base, of_env, *_ = loader._read_raw_config("parameters")
    return {str(key) for config in (*base.values(), *of_env.values()) for key in config}


def study_of(loader: Any) -> Any:
    """Name of the study: `--params=study=…`, or the environment's."""
    return (loader.runtime_params or {}).get("study", loader["globals"].get("study"))


def check_study(loader: Any) -> None:
    """Check that the study's name can be a folder. Raises: UserFacingError."""
    study = study_of(loader)
    if not (isinstance(study, str) and _STUDY.fullmatch(study)):
        is_given = "study" in (loader.runtime_params or {})
        raise UserFacingError(
            "--params=study" if is_given else f"globals.yml of env {loader.env or 'base'}",
            f"study: wanted a text of a-z, 0-9 and _, got {study!r}",
            "rename it (quote a name made of digits only)",
        )


def check_torchrun(pipeline: Pipeline) -> None:
    """Check that the processes of torchrun share the pipeline's work. Raises: UserFacingError."""
    if rank_and_world_size() is None or any(
        all(tag in node.tags for node in pipeline.nodes) for tag in ("embed", "pretrain")
    ):
        return
    raise UserFacingError(
        "torchrun",
        "its processes share the work of embed, or that of pretrain, and nothing else",
        "run one of them at a time under torchrun (--pipelines=embed), the rest without it",
    )


def check_text_encoders(loader: Any) -> None:
    """Check that the tokenizer is the text encoder's own. Raises: UserFacingError."""
    blocks = loader["parameters"]
    embed, tokenize = (blocks.get(name, {}).get("text_encoder") for name in ("embed", "tokenize"))
    if embed != tokenize:
        raise UserFacingError(
            "parameter tokenize.text_encoder",
            f"wanted that of embed, {embed}, got {tokenize}",
            "give both the same",
        )


def check_predict_images(loader: Any, pipeline: Pipeline) -> None:
    """Check that no images are given to the pipeline `predict`. Raises: UserFacingError."""
    images = (loader["parameters"].get("predict") or {}).get("images")
    if images and any("predict" in node.tags for node in pipeline.nodes):
        raise UserFacingError(
            "parameter predict.images",
            f"is {images!r}, and these pipelines write the submissions instead of classifying it",
            "run `kedro run --pipelines=predict_images`, or use --params=predict.images=PATH",
        )


def check_inputs(
    run_params: Mapping[str, Any],
    pipeline: Pipeline,
    catalog: CatalogProtocol,
    registered: Mapping[str, Pipeline],
) -> None:
    """Check that inputs which other pipelines produce exist.

    Raw inputs are checked by their own datasets.

    Raises: UserFacingError: names the file and the command that makes all that is missing.
    """
    producers = producers_of(registered)
    missing = [name for name in _missing(pipeline, catalog) if name in producers]
    if not missing:
        return
    order = list(registered)
    first = min(missing, key=lambda name: (order.index(producers[name]), name))
    needed = pipelines_to_run(missing, catalog, registered)
    env = f" --env={run_params['env']}" if run_params.get("env") else ""
    raise UserFacingError(
        _file_of(first, catalog, Path(run_params["project_path"])),
        f"{first} is missing; pipeline {producers[first]} makes it",
        f"run `kedro run{env} --pipelines={','.join(needed)}` first",
    )


def producers_of(registered: Mapping[str, Pipeline]) -> dict[str, str]:
    """Dataset -> the pipeline that produces it, among the parts of the default pipeline."""
    whole = registered.get("__default__")
    return {
        output: name
        for name, pipeline in registered.items()
        if name != "__default__"
        for output in pipeline.all_outputs()
        if whole is None or output in whole.all_outputs()
    }


def pipelines_to_run(
    missing: list[str], catalog: CatalogProtocol, registered: Mapping[str, Pipeline]
) -> list[str]:
    """The pipelines that produce `missing` and what those need in turn, in registered order."""
    producers = producers_of(registered)
    needed: set[str] = set()
    waiting = {producers[name] for name in missing}
    while waiting:
        name = waiting.pop()
        needed.add(name)
        inputs = _missing(registered[name], catalog)
        waiting |= {producers[item] for item in inputs if item in producers} - needed
    return [name for name in registered if name in needed]


def _missing(pipeline: Pipeline, catalog: CatalogProtocol) -> list[str]:
    inputs = {name for name in pipeline.inputs() if not name.startswith("params:")}
    return sorted(name for name in inputs - {"parameters"} if not _exists(name, catalog))


def _exists(name: str, catalog: CatalogProtocol) -> bool:
    dataset = catalog.get(name) if name in catalog else None
    if dataset is None:
        return False
    if type(dataset)._exists is not AbstractDataset._exists:
        return bool(dataset.exists())
    path = getattr(dataset, "_filepath", None)
    return path is None or Path(str(path)).exists()


def _file_of(name: str, catalog: CatalogProtocol, project: Path) -> str:
    filepath = getattr(catalog.get(name) if name in catalog else None, "_filepath", None)
    if filepath is None:
        return f"catalog entry {name}"
    path = Path(str(filepath))
    return str(path.relative_to(project) if path.is_relative_to(project) else path)
