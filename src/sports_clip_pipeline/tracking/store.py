"""Parameter block `tracking`: MLflow settings, and opening the store that they name."""

import logging
import os
import re
import sqlite3
import warnings
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from filelock import FileLock
from pydantic import BeforeValidator, Field

from sports_clip_pipeline.errors import UserFacingError, first_line
from sports_clip_pipeline.parameters import Parameters, Text

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A missing server is noticed within seconds; MLflow's own retries take minutes a call.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A connection a session: pooled ones must not cross a fork.
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
}
_LOGGER = logging.getLogger(__name__)


class TrackingConfig(Parameters, block="tracking"):
    """Where and whether runs are recorded."""

    study: Text = Field("sample", description="Name of the study, a tag of its runs.")
    enabled: bool = Field(True, description="false records nothing and never imports MLflow")
    uri: Annotated[str, BeforeValidator(lambda u: os.getenv("MLFLOW_TRACKING_URI") or u)] = Field(
        "sqlite:///mlruns/mlflow.db",
        description="sqlite:///PATH (relative to the project) or http(s)://HOST:PORT of a server; "
        "MLFLOW_TRACKING_URI goes before it",
    )
    experiment: str = Field("sports_clip_pipeline", min_length=1, description="of all studies")
    run_name: str | None = Field(None, min_length=1, description="null: study and pipelines")
    register_model: bool = Field(True, description="registers the predictor that a run made")

    def check(self) -> None:
        """Refuse other stores, and a password, which would end up in logs."""
        if not re.fullmatch(r"sqlite:///[^:?]+|https?://[^@/]+(/.*)?", self.uri):
            raise ValueError(
                "uri wants sqlite:///PATH or http(s)://HOST:PORT; a user and a password go into "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )


def open_store(config: TrackingConfig, project: Path) -> "tuple[MlflowClient, str]":
    """A client and the experiment's id; database and experiment are created where missing.

    A relative sqlite path is taken from the project, never the working folder. A file lock lets
    one process of the project create the store at a time.

    Raises: UserFacingError: the store cannot be opened.
    """
    uri, database, project = config.uri.rstrip("/"), None, project.resolve()
    if uri.startswith("sqlite:///"):
        database = project / uri.removeprefix("sqlite:///")
        uri = f"sqlite:///{database}"
    try:
        (project / "mlruns").mkdir(exist_ok=True)
        with FileLock(project / "mlruns" / "store.lock"):
            if database is not None:
                _check_database(database)
            client = connect(uri)
            return client, _experiment(client, config.experiment, project, database)
    except Exception as error:
        what, remedy = first_line(error), "repair or start it, or set another tracking.uri"
        if "out-of-date" in what or "revision" in what:
            remedy = f"copy it, then `mlflow db upgrade {uri}`"
        what = f"this MLflow store cannot be opened ({what})"
        raise UserFacingError(uri, what, remedy) from error


def connect(uri: str) -> "MlflowClient":
    """A client of the store, with MLflow's telemetry off, few retries and quiet loggers."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # MLflow's own tables, on a younger SQLAlchemy than it was written for.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
        from mlflow import MlflowClient

        # What is raised is shown in one line; MLflow would print its traceback too.
        for logger in ("mlflow", "mlflow.store.db.utils", "alembic", "urllib3.connectionpool"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        return MlflowClient(tracking_uri=uri)


def _check_database(database: Path) -> None:
    """Raises what MLflow would retry for minutes: no database, locked, not writable."""
    database.parent.mkdir(parents=True, exist_ok=True)
    if database.exists() and not os.access(database, os.W_OK, effective_ids=True):
        raise PermissionError(f"{database} is read-only")
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        connection.execute("BEGIN IMMEDIATE")


def _experiment(client: "MlflowClient", name: str, project: Path, database: Path | None) -> str:
    root = None if database is None else (project / "mlartifacts").as_uri()
    found = client.get_experiment_by_name(name)
    if found and database and project in database.parents and found.artifact_location != root:
        # MLflow keeps absolute artifact paths, and a project that was moved has others.
        former = f"{name}, moved {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        client.rename_experiment(found.experiment_id, former)
        _LOGGER.warning("The project was moved: its earlier runs are now in %r", former)
        found = None
    return str(found.experiment_id if found else client.create_experiment(name, root))
