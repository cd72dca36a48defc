"""Kedro's settings: the configuration loader and the two hooks."""

from kedro.config import OmegaConfigLoader

from sports_clip_pipeline.hooks import GuardHooks, TrackingHooks

HOOKS = (GuardHooks(), TrackingHooks())
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**"]},
}
