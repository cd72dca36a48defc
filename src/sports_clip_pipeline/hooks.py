"""Kedro hooks: checks before a run, and the MLflow record."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.machine import skip_gc_at_exit, trim_memory

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
if TYPE_CHECKING:
    from kedro.config import AbstractConfigLoader
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline


class CheckHooks:
    """Refuse what Kedro would accept in silence, or would only find out late."""

    def __init__(self) -> None:
        self._context: KedroContext | None = None

    @hook_impl
    def after_node_run(self) -> None:
        """Give back what the node has freed, before the next one asks for its own."""
        trim_memory()

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Refuse unknown parameter blocks and a study that cannot name a folder."""
        check_parameter_blocks(context.config_loader)
        check_study(context.config_loader)
        check_text_encoders(context.config_loader)
        self._context = context

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Refuse to start where what an earlier pipeline makes is missing."""
        skip_gc_at_exit()
        from kedro.framework.project import pipelines

        check_torchrun(pipeline)
        if self._context is not None:
            check_predict_images(self._context.config_loader, pipeline)
        check_inputs(run_params, pipeline, catalog, dict(pipelines))


ALWAYS_KNOWN = ("raw_dir", "study")
"""Runtime parameters that name no block: where the raw corpora stand, the study's name."""
_STUDY = re.compile(r"[a-z0-9_]+")


def check_parameter_blocks(loader: AbstractConfigLoader) -> None:
    """Refuse a top-level runtime parameter that names no parameter block.

    Raises: UserFacingError: names the block and the nearest known one.
    """
    asked = set(loader.runtime_params or {}) - set(ALWAYS_KNOWN)
    if not asked:
        return
    known = {*parameter_blocks(loader), *ALWAYS_KNOWN}
    for name in sorted(asked - known):
        near = difflib.get_close_matches(name, known, n=1)
        listed = ", ".join(sorted(known))
        remedy = f"did you mean {near[0]}? known are {listed}" if near else f"known are {listed}"
        raise UserFacingError(f"--params={name}", f"{name} is no parameter block", remedy)


def parameter_blocks(loader: Any) -> set[str]:
    """The top-level keys of the parameter files, without what `--params` adds to them."""
    base, of_env, *_ = loader._read_raw_config("parameters")
    return {str(key) for config in (*base.values(), *of_env.values()) for key in config}


def study_of(loader: Any) -> Any:
    """The name under which a run keeps what it makes: `--params=study=…`, or the environment's."""
    return (loader.runtime_params or {}).get("study", loader["globals"].get("study"))


def check_study(loader: Any) -> None:
    """Refuse a study whose name cannot be a folder on every machine.

    Raises: UserFacingError.
    """
    study = study_of(loader)
    if not (isinstance(study, str) and _STUDY.fullmatch(study)):
        asked = "study" in (loader.runtime_params or {})
        raise UserFacingError(
            "--params=study" if asked else f"globals.yml of env {loader.env or 'base'}",
            f"study: wanted a text of a-z, 0-9 and _, got {study!r}",
            "rename it (quote a name made of digits only)",
        )


def check_torchrun(pipeline: Pipeline) -> None:
    """Refuse processes of torchrun for work that they do not share.

    Raises: UserFacingError.
    """
    from sports_clip_pipeline.machine import rank_and_world_size

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
    """Refuse a tokenizer that is not the text tower's own.

    Raises: UserFacingError.
    """
    blocks = loader["parameters"]
    towers = [blocks.get(name, {}).get("text_encoder") for name in ("embed", "tokenize")]
    if towers[0] != towers[1]:
        raise UserFacingError(
            "parameter tokenize.text_encoder",
            f"wanted that of embed, {towers[0]}, got {towers[1]}",
            "give both the same",
        )


def check_predict_images(loader: Any, pipeline: Pipeline) -> None:
    """Refuse to make submissions where photographs are named that nobody would look at.

    Raises: UserFacingError.
    """
    images = (loader["parameters"].get("predict") or {}).get("images")
    if images and any("predict" in node.tags for node in pipeline.nodes):
        raise UserFacingError(
            "parameter predict.images",
            f"is {images!r}, and these pipelines make the submissions instead of answering it",
            "run `kedro run --pipelines=predict_images`, or say --params=predict.images=PATH",
        )


def check_inputs(
    run_params: Mapping[str, Any],
    pipeline: Pipeline,
    catalog: CatalogProtocol,
    registered: Mapping[str, Pipeline],
) -> None:
    """Refuse to start where an input that another pipeline makes does not stand yet.

    Raw inputs have no maker here; their own datasets say what is wrong with them.

    Raises: UserFacingError: names the file, its maker and the command that makes all that misses.
    """
    makers = makers_of(registered)
    missing = [name for name in _missing(pipeline, catalog) if name in makers]
    if not missing:
        return
    order = list(registered)
    first = min(missing, key=lambda name: (order.index(makers[name]), name))
    wanted = pipelines_to_run(missing, catalog, registered)
    env = f" --env={run_params['env']}" if run_params.get("env") else ""
    raise UserFacingError(
        _place(first, catalog, Path(run_params["project_path"])),
        f"{first} is missing; pipeline {makers[first]} makes it",
        f"run `kedro run{env} --pipelines={','.join(wanted)}` first",
    )


def makers_of(registered: Mapping[str, Pipeline]) -> dict[str, str]:
    """Dataset -> the pipeline that makes it, among the parts of the default pipeline."""
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
    """The pipelines that make `missing` and what those need in turn, in registered order."""
    makers = makers_of(registered)
    wanted: set[str] = set()
    waiting = {makers[name] for name in missing}
    while waiting:
        maker = waiting.pop()
        wanted.add(maker)
        needs = {makers.get(name) for name in _missing(registered[maker], catalog)}
        waiting |= {need for need in needs if need is not None} - wanted
    return [name for name in registered if name in wanted]


def _missing(pipeline: Pipeline, catalog: CatalogProtocol) -> list[str]:
    free = {name for name in pipeline.inputs() if not name.startswith("params:")} - {"parameters"}
    return sorted(name for name in free if not _stands(name, catalog))


def _stands(name: str, catalog: CatalogProtocol) -> bool:
    dataset = catalog.get(name) if name in catalog else None
    if dataset is None:
        return False
    if type(dataset)._exists is not AbstractDataset._exists:
        return bool(dataset.exists())
    place = getattr(dataset, "_filepath", None)
    return place is None or Path(str(place)).exists()


def _place(name: str, catalog: CatalogProtocol, project: Path) -> str:
    place = getattr(catalog.get(name) if name in catalog else None, "_filepath", None)
    if place is None:
        return f"catalog entry {name}"
    path = Path(str(place))
    return str(path.relative_to(project) if path.is_relative_to(project) else path)
