"""Imports and warnings at start-up of the command line."""

import importlib
import os
import subprocess
import sys
import warnings

import pytest

from sports_clip_pipeline import settings
from tests.conftest import ROOT

HEAVY = {
    "torch", "open_clip", "transformers", "mlflow", "numpy", "scipy", "pandas", "sklearn",
    "pyarrow", "pandera", "matplotlib", "plotly", "PIL", "kagglehub", "pooch",
}  # fmt: skip
SCRIPT = """
import sys
sys.argv = ["kedro", *sys.argv[1:]]
from kedro.framework.cli.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *[name for name in sys.modules if "." not in name])
"""
CATALOG = """
import sys
from pathlib import Path
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
bootstrap_project(Path.cwd())
with KedroSession.create(project_path=Path.cwd()) as session:
    catalog = session.load_context().catalog
    print([catalog.get(name) for name in catalog.keys()])
print("LOADED", *[name for name in sys.modules if "." not in name])
"""


def _loaded(script: str, *arguments: str) -> set[str]:
    """Top-level modules that a script in a process of its own has imported."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "KEDRO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rsplit("LOADED", 1)[1].split())


@pytest.mark.parametrize("command", [["--help"], ["registry", "list"]])
def test_starting_kedro_imports_nothing_heavy(command: list[str]) -> None:
    loaded = _loaded(SCRIPT, *command)
    assert "kedro" in loaded
    assert not HEAVY & loaded


def test_the_catalog_imports_its_tables_and_the_methods_whose_settings_are_checked() -> None:
    loaded = _loaded(CATALOG)
    tables, methods = {"pandas", "pyarrow", "plotly", "PIL"}, {"numpy", "scipy", "torch"}
    assert (HEAVY & loaded) - {"pandera"} == tables | methods


def test_settings_silence_one_warning_of_kedro_viz_only() -> None:
    silenced = "ORJSONResponse is deprecated, FastAPI now serializes"
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        importlib.reload(settings)
        for text, module in (
            (silenced, "kedro_viz.api.apps"),
            (silenced, "sports_clip_pipeline.serving"),
            ("UJSONResponse is deprecated", "kedro_viz.api.apps"),
        ):
            warnings.warn_explicit(text, UserWarning, "a.py", 1, module=module)
    assert [str(warning.message) for warning in shown] == [silenced, "UJSONResponse is deprecated"]
