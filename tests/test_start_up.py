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


@pytest.mark.parametrize("command", [["--help"], ["registry", "list"]])
def test_starting_kedro_imports_nothing_heavy(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "KEDRO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.rsplit("LOADED", 1)[1].split()
    assert "kedro" in loaded
    assert not HEAVY & set(loaded)


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
