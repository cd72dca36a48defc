"""`python -m sports_clip_pipeline.tracking.ui [ENV]`: MLflow's pages over the project's store.

Host and port stand in `mlflow.yml`. A store on a server has its own pages: their address is
printed instead.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sports_clip_pipeline.config.tracking import TrackingConfig, read_tracking
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.tracking.store import artifact_root, open_store, sqlite_path

_QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # What opening the store set for a run does not suit a server of many threads.
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "",
    "PYTHONWARNINGS": "ignore:starlette.middleware.wsgi,ignore:The ``noload``",
}


def main() -> None:
    """Open the store and become the MLflow server of it, until Ctrl-C."""
    project = Path(__file__).resolve().parents[3]
    try:
        config = project_config(project, sys.argv[1] if len(sys.argv) > 1 else None)
        uri = open_store(config, project).uri
    except UserFacingError as error:
        sys.exit(f"Error: {error}")
    if sqlite_path(uri) is None:
        print(uri)
        return
    print(f"http://{config.ui_host}:{config.ui_port} shows {uri}; Ctrl-C ends it", flush=True)
    command = server_command(config, uri, project)
    os.execve(command[0], command, {**os.environ, **_QUIET})


def project_config(project: Path, env: str | None) -> TrackingConfig:
    """The settings that a run in `env` would have.

    Raises: UserFacingError: `mlflow.yml` is wrong.
    """
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    with KedroSession.create(project_path=project, env=env) as session:
        context = session.load_context()  # type: ignore[attr-defined]
        return read_tracking(context.config_loader["mlflow"])


def server_command(config: TrackingConfig, uri: str, project: Path) -> list[str]:
    """The command line of MLflow's server: one worker is enough for one reader."""
    return [
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri),
        *("--default-artifact-root", artifact_root(project).as_uri(), "--workers", "1"),
        *("--host", config.ui_host, "--port", str(config.ui_port)),
    ]


if __name__ == "__main__":
    main()
