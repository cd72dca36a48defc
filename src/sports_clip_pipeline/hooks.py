"""Kedro's hook of guards that refuse a run before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from sports_clip_pipeline.machine import end_without_sweep, give_back_freed_memory

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline


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
