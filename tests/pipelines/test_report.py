from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import typing
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from PIL import Image

from sports_clip_pipeline.pipelines.report.config import ModelCardConfig, ReportConfig
from sports_clip_pipeline.pipelines.report.pipeline import FIGURES, INPUTS, create_pipeline
from sports_clip_pipeline.report.sections import StudyResults
from tests.report.factories import CARD_CONFIG, NAMES, REFERENCE, make_results

CONF = Path(__file__).parents[2] / "conf"
HEAVY = ("pandas", "plotly", "jinja2", "numpy", "PIL", "torch", "mlflow")
OUTPUTS = ("{name}_figure", "metrics", "provenance", "model_card", "report")


class Store:
    """Images by row."""

    def __init__(self, images: list[Image.Image]) -> None:
        self.images = images

    def get(self, i: int) -> Image.Image:
        return self.images[i]


def load_config(environment: str) -> OmegaConfigLoader:
    return OmegaConfigLoader(
        conf_source=str(CONF),
        base_env="base",
        default_run_env=environment,
        env=environment,
        merge_strategy={"parameters": "soft"},
    )


@pytest.fixture(scope="module")
def catalog_entries() -> dict:
    everything = load_config("base")["catalog"]
    return {name: everything[name] for name in OUTPUTS}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, catalog_entries):
    """The pipeline's own outputs on disk, from made-up results in memory."""
    folder = tmp_path_factory.mktemp("study")
    for entry in catalog_entries.values():
        entry["filepath"] = str(folder / Path(entry["filepath"]).name)
    catalog = DataCatalog.from_config(catalog_entries)
    results = make_results()
    del results["provenance"]
    pictures = results.pop("thumbnails")
    for field, result in results.items():
        catalog[INPUTS[field]] = result
    catalog["sports_images"] = Store([Image.open(io.BytesIO(p)) for p in pictures.values()])
    catalog["sports_manifest"] = pd.DataFrame({"image": list(pictures)})
    catalog["params:report"] = ReportConfig(study="made_up", methods=NAMES, reference=REFERENCE)
    catalog["params:model_card"] = CARD_CONFIG
    started = time.process_time()
    SequentialRunner().run(create_pipeline(), catalog)
    return folder, catalog, time.process_time() - started


def test_the_pipeline_writes_the_page_the_card_the_metrics_and_every_figure(finished):
    folder, catalog, cpu_s = finished

    html = (folder / "report.html").read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>") and html.rstrip().endswith("</html>")
    assert html.count('alt="Image labelled') == 24
    assert (folder / "model_card.md").read_text().startswith("# Model card of the study")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics) == {"zero_shot", "retrieval", "finetune"}
    assert set(metrics["finetune"]["logreg"]) >= {"0.01", "1.0"}
    for name in FIGURES:
        assert catalog.load(f"{name}_figure").data
        assert (folder / f"{name}.json").is_file()
    assert cpu_s < 10
    assert (folder / "report.html").stat().st_size < 6e6


def test_the_provenance_says_what_was_run(finished):
    made = json.loads((finished[0] / "provenance.json").read_text())

    assert made["study"] == "made_up"
    assert made["seeds"] == [0, 1, 2, 3, 4]
    assert made["data_digest"] == "ab" * 32
    assert {"commit", "dirty", "versions", "device"} <= set(made)


def test_every_result_has_a_dataset_and_every_figure_is_saved():
    assert set(INPUTS) == {one.name for one in fields(StudyResults)} - {"config", "model_card"}
    outputs = {name for node in create_pipeline().nodes for name in node.outputs}
    assert {f"{name}_figure" for name in FIGURES} <= outputs


@pytest.mark.parametrize("environment", ["base", "real"])
def test_the_parameters_of_each_environment_are_valid(environment):
    config = ReportConfig(**load_config(environment)["parameters"]["report"])

    published = {"base": [], "real": [0.35, 0.895]}
    assert config.study == {"base": "sample", "real": "real"}[environment]
    assert [entry.value for entry in config.reference] == published[environment]


@pytest.mark.parametrize("environment", ["base", "real"])
def test_the_model_card_takes_the_licences_of_the_download_block(environment):
    parameters = load_config(environment)["parameters"]

    corpora = ModelCardConfig(**parameters["model_card"]).corpora

    for corpus, facts in corpora["real"].items():
        assert facts.licence == " ".join(parameters["download"][f"{corpus}_licence"].split())
    assert set(corpora) == {"sample", "real"}


def test_outputs_are_in_the_folder_of_the_study_and_figures_are_artifacts():
    entries = load_config("real")["catalog"]

    assert entries["report"]["filepath"] == "data/08_reporting/real/report.html"
    assert entries["metrics"]["filepath"] == "data/08_reporting/real/metrics.json"
    assert {entries[name]["metadata"]["kedro-viz"]["layer"] for name in OUTPUTS} == {"reporting"}
    dataset = DataCatalog.from_config(entries).get("learning_curve_figure")
    assert dataset.metadata == {
        "kedro-viz": {"layer": "reporting"},
        "mlflow": {"artifact": "figures"},
    }
    assert str(dataset._filepath).endswith("data/08_reporting/real/figures/learning_curve.json")


def test_every_hint_of_every_node_resolves():
    for node in create_pipeline().nodes:
        hints = typing.get_type_hints(node.func)
        assert "return" in hints
        if "report" in hints:
            assert hints["report"] is ReportConfig


def test_wiring_imports_nothing_heavy():
    code = (
        "import sys; from sports_clip_pipeline.pipelines.report import config, nodes, pipeline; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "[]"
