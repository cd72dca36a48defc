"""Kedro's hooks: guards that refuse a run before it starts, and the record in MLflow.

Both are thin, and neither imports MLflow before a run starts: `kedro --help` pays nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from sports_clip_pipeline.errors import DryRun
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.machine import end_without_sweep, give_back_freed_memory

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

    from sports_clip_pipeline.config.tracking import TrackingConfig
    from sports_clip_pipeline.tracking.outputs import Output
    from sports_clip_pipeline.tracking.run import TrackedRun


class GuardHooks:
    """Refuse what Kedro would accept in silence, or would only find out late."""

    def __init__(self) -> None:
        self._context: KedroContext | None = None

    @hook_impl
    def after_node_run(self) -> None:
        """Give back what the node has freed, before the next one asks for its own."""
        give_back_freed_memory()

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Refuse unknown parameter blocks and a study that cannot name a folder."""
        from sports_clip_pipeline import guards

        guards.check_parameter_blocks(context.config_loader)
        guards.check_study(context.config_loader)
        guards.check_text_towers(context.config_loader)
        self._context = context

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Refuse to start where what an earlier pipeline makes is missing."""
        end_without_sweep()
        from kedro.framework.project import pipelines

        from sports_clip_pipeline import guards

        guards.check_launched(pipeline)
        if self._context is not None:
            guards.check_photographs(self._context.config_loader, pipeline)
        guards.check_inputs(run_params, pipeline, catalog, dict(pipelines))


class TrackingHooks:
    """Record every `kedro run` in MLflow; the work stands in `tracking`."""

    def __init__(self) -> None:
        self._context: KedroContext | None = None
        self._run: TrackedRun | None = None
        self._config: TrackingConfig | None = None
        self._outputs: dict[str, Output] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the context: its settings are read only if a run starts."""
        self._context = context

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Start the parent run."""
        from sports_clip_pipeline import guards
        from sports_clip_pipeline.config.tracking import read_tracking
        from sports_clip_pipeline.launched import leads

        self._end("KILLED")
        if self._context is None:
            return
        loader = self._context.config_loader
        config = read_tracking(loader["mlflow"])
        if not config.enabled or not leads():
            return
        self._config = config
        from sports_clip_pipeline.tracking.begin import begin
        from sports_clip_pipeline.tracking.outputs import planned_outputs

        self._outputs = planned_outputs(pipeline, catalog)
        self._run = begin(config, guards.study_of(loader), run_params, pipeline, catalog)

    @hook_impl
    def before_node_run(self, inputs: dict[str, Any]) -> None:
        """Attach the run to every journal that the node takes."""
        if self._run is None:
            return
        journals = [value for value in inputs.values() if isinstance(value, Journal)]
        if journals:
            self._run.learn_data()
        for journal in journals:
            journal.attach(self._run)

    @hook_impl
    def after_node_run(self) -> None:
        """Write the live metrics that are still kept."""
        if self._run is not None:
            self._run.flush()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Record figures, tables and headline numbers, and which data the run speaks of."""
        if self._run is None:
            return
        from sports_clip_pipeline.tracking.begin import AUDIT, digest_in
        from sports_clip_pipeline.tracking.outputs import record_output

        if dataset_name == AUDIT:
            for name, value in digest_in(data).items():
                self._run.set_tag(name, value)
        if dataset_name in self._outputs:
            record_output(self._run, self._outputs[dataset_name], data)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Compare the run, register what it made, and close it."""
        if self._run is not None and self._config is not None:
            from sports_clip_pipeline.tracking.ending import conclude

            conclude(self._run, self._config, pipeline, catalog)
        self._end("FINISHED")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Close the run as failed, with the error's line."""
        self._end("KILLED" if isinstance(error, DryRun) else "FAILED", error)

    def _end(self, status: str, error: Exception | None = None) -> None:
        run, self._run, self._outputs = self._run, None, {}
        if run is not None:
            run.finish(status, error)
