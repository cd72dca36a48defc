"""Kedro's settings: the configuration loader and the two hooks."""

import warnings

from kedro.config import OmegaConfigLoader

from sports_clip_pipeline.hooks import CheckHooks
from sports_clip_pipeline.tracking.hook import TrackingHooks

# Kedro-Viz 12.5 builds on a class that FastAPI gives up; `kedro viz build` would say so each time.
# (`kedro viz run` says it in a process that never reads this file; `make viz` silences that one.)
warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated", module=r"kedro_viz\.")

HOOKS = (CheckHooks(), TrackingHooks())
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment holds what differs from base; lists are replaced, mappings merged.
    "merge_strategy": {"parameters": "soft"},
}
