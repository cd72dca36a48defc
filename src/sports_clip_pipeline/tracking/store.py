"""Opening the MLflow store: created once, by one process, or refused in one line."""

from __future__ import annotations

import logging
import os
import sqlite3
import urllib.error
import urllib.request
import warnings
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sports_clip_pipeline.config.tracking import TrackingConfig
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.tracking.locks import exclusive

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
_SERVER_WAIT_S = 5
_LOCKED_WAIT_S = 10
_ELSEWHERE = "or set server.mlflow_tracking_uri in mlflow.yml to another place"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # A server that is gone is noticed within seconds; MLflow's own patience is minutes a call.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A connection a session: pooled ones must not cross a fork.
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
}


@dataclass(frozen=True)
class Store:
    """An opened store: its absolute URI and the id of the experiment in it."""

    uri: str
    experiment_id: str


def open_store(config: TrackingConfig, project: Path) -> Store:
    """The store of `config`, created with its experiment where it is missing.

    Creating a sqlite store takes seconds and must not happen twice at once: a file lock beside
    the database lets one process in at a time.

    Raises: UserFacingError: the store cannot be opened, or the experiment was deleted.
    """
    uri = resolve_uri(config.uri, project)
    database = sqlite_path(uri)
    if database is None:
        _check_server(uri)
    else:
        _check_folder(database)
    lock = nullcontext() if database is None else exclusive(_beside(database))
    with lock:
        if database is not None:
            _check_database(database)
        try:
            return Store(uri, _experiment(config.experiment, uri, project))
        except (UserFacingError, ImportError):
            raise
        except Exception as error:
            _refuse(uri, error)


def connect(uri: str) -> MlflowClient:
    """A client of the store, with MLflow's telemetry off and its loggers quiet."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # MLflow's own tables, on a younger SQLAlchemy than it was written for.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
        from mlflow import MlflowClient

        for logger in ("mlflow", "alembic"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        # Our one warning says that a server is gone; each retry of each call need not.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        # It prints a traceback for what is raised, and told in one line, anyway.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        return MlflowClient(tracking_uri=uri)


def check_store(uri: str) -> None:
    """Find out within seconds whether a store answers.

    Raises: UserFacingError: it does not.
    """
    database = sqlite_path(uri)
    if database is None:
        _check_server(uri)
    else:
        _check_database(database)


def resolve_uri(uri: str, project: Path) -> str:
    """`uri` with a sqlite path that is relative taken from the project, never the working folder.

    >>> resolve_uri("sqlite:///mlruns/mlflow.db", Path("/srv/clip"))
    'sqlite:////srv/clip/mlruns/mlflow.db'
    """
    database = sqlite_path(uri)
    return uri.rstrip("/") if database is None else f"{_SQLITE}{project.resolve() / database}"


def sqlite_path(uri: str) -> Path | None:
    """The database file of a sqlite URI; None for a server."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def artifact_root(project: Path) -> Path:
    """Where a sqlite store keeps the files of its runs."""
    return project.resolve() / "mlartifacts"


def outbox_folder(project: Path) -> Path:
    """Where runs keep what their store did not take."""
    return life_folder(project).with_name("outbox")


def life_folder(project: Path) -> Path:
    """Where running processes of the project show that they live."""
    return project.resolve() / "mlruns" / "alive"


def _experiment(name: str, uri: str, project: Path) -> str:
    client = connect(uri)
    local = uri.startswith(_SQLITE)
    root = artifact_root(project).as_uri() if local else None
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return _created(client, name, root)
    if experiment.lifecycle_stage == "deleted":
        raise UserFacingError(
            uri,
            f"experiment {name!r} was deleted",
            f"restore it (mlflow experiments restore -x {experiment.experiment_id}) "
            "or choose another tracking.experiment.name in conf/base/mlflow.yml",
        )
    database = sqlite_path(uri)
    if root and experiment.artifact_location != root and database is not None:
        _follow_move(database, project, experiment.artifact_location, root)
    return str(experiment.experiment_id)


def _created(client: MlflowClient, name: str, root: str | None) -> str:
    """The id of a new experiment, or of the one that another client of a server just made."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name, artifact_location=root))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        made = client.get_experiment_by_name(name)
        if made is None:
            raise
        return str(made.experiment_id)


def _follow_move(database: Path, project: Path, old: str, new: str) -> None:
    """Point the store at the artifacts' new place after the project's folder moved.

    MLflow writes absolute places into its tables. A store outside the project may belong to
    another one as well and is left as it is.
    """
    if project.resolve() not in database.parents:
        return
    columns = (("experiments", "artifact_location"), ("runs", "artifact_uri"))
    with closing(sqlite3.connect(database, timeout=_LOCKED_WAIT_S)) as connection, connection:
        for table, column in columns:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
            )


def _check_folder(database: Path) -> None:
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        if database.is_dir():
            raise IsADirectoryError(21, "is a folder, not a database file")
        with _beside(database).open("a"):
            pass
    except OSError as error:
        _refuse(f"{_SQLITE}{database}", error)


def _check_database(database: Path) -> None:
    """Refuse at once what cannot be read and written; MLflow would retry for minutes."""
    try:
        with closing(sqlite3.connect(database, timeout=_LOCKED_WAIT_S)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            # To begin is not enough to be refused by a read-only file; a write, taken back, is.
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version = {version}")
            connection.rollback()
    except sqlite3.Error as error:
        _refuse(f"{_SQLITE}{database}", error)


def _check_server(uri: str) -> None:
    try:
        urllib.request.urlopen(f"{uri}/health", timeout=_SERVER_WAIT_S).close()
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError) as error:
        raise UserFacingError(
            uri,
            f"no MLflow server answers ({getattr(error, 'reason', error)})",
            f"start it, {_ELSEWHERE}",
        ) from error


def _beside(database: Path) -> Path:
    return database.with_name(f"{database.name}.lock")


def _refuse(uri: str, error: Exception) -> NoReturn:
    what = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, OSError) and error.strerror:
        what = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    remedy = f"mend the file, its rights or the space on its disk, {_ELSEWHERE}"
    if "out-of-date" in what or "revision" in what:
        remedy = f"it is of another MLflow: copy it, then `mlflow db upgrade {uri}`, {_ELSEWHERE}"
    raise UserFacingError(uri, f"this MLflow store cannot be opened ({what})", remedy) from error
