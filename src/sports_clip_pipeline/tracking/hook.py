"""The Kedro hook that records every `kedro run` in MLflow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from sports_clip_pipeline.errors import EarlyExit
from sports_clip_pipeline.io.fingerprint import git_state
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.machine import gpu_names, is_main_process
from sports_clip_pipeline.parameters import flatten

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

    from sports_clip_pipeline.tracking.run import TrackedRun

_TESTED = frozenset({"predictor", "finetune_metrics", "test_predictions"})


class TrackingHooks:
    """Records parameters, live metrics, trials, figures, tables and the model of a run."""

    def __init__(self) -> None:
        self._run: TrackedRun | None = None
        self._logged: dict[str, dict[str, Any]] = {}
        self._registers = True

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: "Pipeline", catalog: "CatalogProtocol"
    ) -> None:
        """Start the parent run with its tags and parameters, in one process of a group."""
        from sports_clip_pipeline.tracking.store import TrackingConfig, open_store

        self._end("KILLED")
        config = TrackingConfig(**catalog.load("parameters").get("tracking", {}))
        if not config.enabled or not is_main_process():
            return
        from sports_clip_pipeline.tracking import datasets
        from sports_clip_pipeline.tracking.run import TrackedRun, log_batch

        project, study = Path(run_params["project_path"]), config.study
        names = ",".join(run_params.get("pipeline_names") or ["__default__"])
        tags = {"study": study, "env": run_params.get("env") or "base", "pipelines": names}
        tags |= {"mlflow.source.name": f"kedro run --pipelines={names}", **origin_tags(project)}
        store, name = open_store(config, project), config.run_name or f"{study} {names}"
        if "RecordRunner" in run_params.get("runner", ""):
            query = f"tags.study = '{study}' and tags.pipelines = '{names}'"
            former = store[0].search_runs([store[1]], query, max_results=1)
            tags["re_recorded"] = former[0].info.run_id if former else "true"
        run = self._run = TrackedRun(store, project / "mlruns" / "running", name, tags)
        self._registers = config.register_model
        params = [name for name in sorted(pipeline.inputs()) if name.startswith("params:")]
        blocks = {name.removeprefix("params:"): catalog.load(name) for name in params}
        run.call(log_batch, flatten("", blocks), {})
        for name in {*catalog.keys(), *pipeline.all_outputs()}:
            metadata = datasets.mlflow_metadata(catalog, name)
            if name in pipeline.all_outputs():
                self._logged[name] = metadata
            elif "tags" in metadata and catalog.exists(name):
                datasets.log_dataset(run, {"tags": metadata["tags"]}, catalog.load(name))

    @hook_impl
    def before_node_run(self, inputs: dict[str, Any]) -> None:
        """Attach the run to every run state that the node takes."""
        for state in inputs.values():
            if self._run is not None and isinstance(state, RunState):
                self._run.read_tags()
                state.attach(self._run)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Record figures, tables, metrics, curves and trials."""
        if self._run is not None and self._logged.get(dataset_name):
            from sports_clip_pipeline.tracking.datasets import log_dataset

            log_dataset(self._run, self._logged[dataset_name], data)

    @hook_impl
    def after_pipeline_run(self, pipeline: "Pipeline", catalog: "CatalogProtocol") -> None:
        """Register the predictor that the run made, describe the run, and close it."""
        if self._run is not None:
            from sports_clip_pipeline.tracking.datasets import describe
            from sports_clip_pipeline.tracking.registry import register

            study, made = self._run.tags["study"], _TESTED & pipeline.all_outputs()
            if self._registers and made == _TESTED and all(map(catalog.exists, made)):
                folder = Path(catalog.get("predictor")._filepath)  # type: ignore[union-attr]
                tested, metrics = map(catalog.load, ("test_predictions", "finetune_metrics"))
                self._run.call(register, folder, study, tested, metrics)
            self._run.call(describe, study)
        self._end("FINISHED")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Close the run as failed, with the error's line."""
        self._end("KILLED" if isinstance(error, EarlyExit) else "FAILED", error)

    def _end(self, status: str, error: Exception | None = None) -> None:
        run, self._run, self._logged = self._run, None, {}
        if run is not None:
            run.finish(status, error)


def origin_tags(project: Path) -> dict[str, str]:
    """The commit of the project, whether files differ from it, and the GPUs of the machine."""
    git = git_state(project)
    dirty = "unknown" if git["dirty"] is None else str(git["dirty"]).lower()
    commit = {"git.commit": git["commit"], "mlflow.source.git.commit": git["commit"]}
    return {**commit, "git.dirty": dirty, "device": gpu_names() or "cpu"}
