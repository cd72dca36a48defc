"""What `conf/*/mlflow.yml` may say, in kedro-mlflow's familiar keys."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sports_clip_pipeline.config.checks import require, require_number
from sports_clip_pipeline.errors import UserFacingError

_URI_VARIABLE = "MLFLOW_TRACKING_URI"
_SCHEMES = ("sqlite:///", "http://", "https://")
_FIELDS = {
    "server.mlflow_tracking_uri": "uri",
    "tracking.enabled": "enabled",
    "tracking.experiment.name": "experiment",
    "tracking.run.name": "run_name",
    "tracking.register": "register",
    "ui.host": "ui_host",
    "ui.port": "ui_port",
}


@dataclass(frozen=True)
class TrackingConfig:
    """Where runs are recorded, and under which names.

    Attributes:
        enabled: False records nothing and never imports MLflow.
        uri: `sqlite:///PATH` (relative to the project) or an MLflow server's `http(s)://…`.
        experiment: the experiment that holds all runs.
        run_name: the name of every run; None names it by study and pipelines.
        register: a run that made a predictor registers it as a model named after the study.
        ui_host, ui_port: where `make ui` listens.
    """

    enabled: bool = True
    uri: str = "sqlite:///mlruns/mlflow.db"
    experiment: str = "sports_clip_pipeline"
    run_name: str | None = None
    register: bool = True
    ui_host: str = "127.0.0.1"
    ui_port: int = 5000

    def __post_init__(self) -> None:
        for switch in ("enabled", "register"):
            value = getattr(self, switch)
            _require(isinstance(value, bool), switch, "true or false", value)
        for field in ("uri", "experiment", "ui_host"):
            value = getattr(self, field)
            _require(isinstance(value, str) and bool(value.strip()), field, "a text", value)
        is_name = self.run_name is None or (isinstance(self.run_name, str) and bool(self.run_name))
        _require(is_name, "run_name", "a text or null", self.run_name)
        require_number(self.ui_port, _place("ui_port"), 1, 65535, integer=True)
        is_store = self.uri.startswith(_SCHEMES) and self.uri not in _SCHEMES
        is_store = is_store and ":memory:" not in self.uri and "?" not in self.uri
        wanted = "sqlite:///PATH, or http(s)://HOST:PORT (MLflow keeps no runs in plain folders)"
        _require(is_store, "uri", wanted, self.uri)
        if "@" in self.uri.split("://")[-1].split("/")[0]:
            what = "a user or password in an address ends up in logs and records"
            remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
            raise UserFacingError(_place("uri"), what, remedy)


def read_tracking(
    document: dict[str, Any], environ: Mapping[str, str] = os.environ
) -> TrackingConfig:
    """The settings in a parsed `mlflow.yml`; what it leaves out keeps its default.

    `MLFLOW_TRACKING_URI` in the environment goes before the file's store, as with MLflow's own
    commands.

    Raises: UserFacingError: a key that nobody knows, or a value out of range.
    """
    values = {}
    for key, value in _leaves(document, ""):
        if key not in _FIELDS:
            near = difflib.get_close_matches(key, _FIELDS, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"known are {', '.join(_FIELDS)}"
            raise UserFacingError("mlflow.yml", f"{key} is no setting", remedy)
        values[_FIELDS[key]] = value
    if environ.get(_URI_VARIABLE):
        values["uri"] = environ[_URI_VARIABLE]
    return TrackingConfig(**values)


def _leaves(node: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _place(field: str) -> str:
    key = next(key for key, name in _FIELDS.items() if name == field)
    return f"{key} (mlflow.yml)"


def _require(condition: bool, field: str, wanted: str, got: object) -> None:
    require(condition, _place(field), wanted, got)
