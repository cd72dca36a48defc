"""The notebooks run from top to bottom on a finished study."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELL_TIMEOUT_S = 120
PLOTLY = "application/vnd.plotly.v1+json"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_neither_outputs_nor_definitions(path: Path) -> None:
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert not [cell for cell in cells if cell.outputs]
    lines = [line for cell in cells for line in cell.source.splitlines()]
    assert not [line for line in lines if line.startswith(("def ", "class "))]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_a_finished_study(
    path: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(finished_run / "notebooks")}}
    NotebookClient(
        notebook, timeout=CELL_TIMEOUT_S, kernel_name="python3", resources=folder
    ).execute()
    kinds = {kind for cell in notebook.cells for out in cell.get("outputs", ())
             for kind in out.get("data", ())}  # fmt: skip
    assert "text/html" in kinds and kinds & {"image/png", PLOTLY}
