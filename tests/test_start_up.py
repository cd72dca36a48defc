"""What starting the command line costs, and that every parameter block is typed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from sports_clip_pipeline.pipeline_registry import APART, register_pipelines

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch", "open_clip", "transformers", "mlflow", "pandas", "sklearn", "pyarrow", "pandera",
    "matplotlib", "plotly",
)  # fmt: skip
ASK = """
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
    environment = {**os.environ, "KEDRO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    found = subprocess.run(
        [sys.executable, "-c", ASK, *command],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    loaded = found.stdout.rsplit("LOADED", 1)[1].split()
    assert "kedro" in loaded
    assert not set(HEAVY) & set(loaded)


def parameters_of_nodes() -> list[tuple[str, str, object]]:
    """(node, `params:` input, resolved hint), as Kedro reads them when it builds parameters."""
    found = []
    pipelines = register_pipelines()
    for node in [node for name in ("__default__", *APART) for node in pipelines[name].nodes]:
        hints = typing.get_type_hints(node.func)
        names = list(hints) and list(node.func.__code__.co_varnames)
        bound = node.inputs if not isinstance(node._inputs, dict) else list(node._inputs.values())
        takes = names if not isinstance(node._inputs, dict) else list(node._inputs)
        found += [
            (node.name, dataset, hints.get(argument))
            for argument, dataset in zip(takes, bound, strict=False)
            if dataset.startswith("params:")
        ]
    return found


def test_every_parameter_of_a_node_resolves_to_a_dataclass() -> None:
    parameters = parameters_of_nodes()
    assert len(parameters) >= 10
    for node, dataset, hint in parameters:
        assert dataclasses.is_dataclass(hint), f"{node}: {dataset} is hinted {hint!r}"
