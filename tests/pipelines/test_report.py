from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import typing
from pathlib import Path

import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from PIL import Image

from sports_clip_pipeline.pipelines.report import nodes
from sports_clip_pipeline.pipelines.report.config import ModelCardConfig, ReportConfig
from sports_clip_pipeline.pipelines.report.pipeline import FIGURES, JUDGED, RESULTS, create_pipeline
from sports_clip_pipeline.reporting.judgement import JUDGED as KNOWN
from tests.reporting.judged_study import make_judgement
from tests.reporting.study import CARD_WORDS, LABELS, NAMES, REFERENCE, make_arms, make_documents

CONF = Path(__file__).parents[2] / "conf"
HEAVY = ("pandas", "plotly", "jinja2", "numpy", "PIL", "torch", "mlflow")


class Store:
    """Photographs by row."""

    def __init__(self, photographs: list[Image.Image]) -> None:
        self.photographs = photographs

    def get(self, i: int) -> Image.Image:
        return self.photographs[i]


def load_config(environment: str) -> OmegaConfigLoader:
    return OmegaConfigLoader(
        conf_source=str(CONF), base_env="base", default_run_env=environment, env=environment
    )


@pytest.fixture(scope="module")
def catalog_entries() -> dict:
    everything = load_config("base")["catalog"]
    return {
        name: everything[name]
        for name in (*FIGURES, "metrics", "provenance", "model_card", "report")
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory, catalog_entries):
    """The pipeline's own outputs on disk, from made-up results in memory."""
    place = tmp_path_factory.mktemp("study")
    for entry in catalog_entries.values():
        entry["filepath"] = str(place / Path(entry["filepath"]).name)
    catalog = DataCatalog.from_config(catalog_entries)
    documents = {k: v for k, v in make_documents().items() if k != "provenance"}
    documents["end_to_end_trials"] = make_arms({})
    judged = make_judgement(documents["finetune_curves"], LABELS)
    pictures = judged.pop("thumbnails")
    documents |= {name: value for name, value in judged.items() if name in JUDGED}
    documents["sports_images"] = Store([Image.open(io.BytesIO(p)) for p in pictures.values()])
    documents["sports_manifest"] = pd.DataFrame({"image": list(pictures)})
    for name, document in documents.items():
        catalog[name] = document
    catalog["params:report"] = ReportConfig(study="made_up", methods=NAMES, reference=REFERENCE)
    catalog["params:model_card"] = CARD_WORDS
    started = time.process_time()
    SequentialRunner().run(create_pipeline(), catalog)
    return place, catalog, time.process_time() - started


def test_the_pipeline_writes_the_page_the_metrics_and_every_figure(finished):
    place, catalog, _ = finished

    html = (place / "report.html").read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>") and html.rstrip().endswith("</html>")
    metrics = json.loads((place / "metrics.json").read_text())
    assert set(metrics) == {"zero_shot", "retrieval", "finetune"}
    assert set(metrics["finetune"]["logreg_tower"]) >= {"0.01", "1.0"}
    for name in FIGURES:
        assert catalog.load(name).data


def test_the_page_shows_what_judges_the_study(finished):
    place, _, _ = finished
    html = (place / "report.html").read_text(encoding="utf-8")

    for name in (
        "paired_figure",
        "inference_cost_figure",
        "labels_needed",
        "mislabelled",
        "label_queries",
    ):
        assert f'id="{name}"' in html
    assert html.count('alt="Photograph labelled') == 24


def test_the_pipeline_hands_on_only_what_the_page_knows():
    assert set(JUDGED) <= set(KNOWN)


def test_the_page_takes_seconds_and_stays_small(finished):
    place, _, cpu_s = finished

    assert cpu_s < 10
    assert (place / "report.html").stat().st_size < 6e6


def test_the_provenance_says_what_was_run(finished):
    place, _, _ = finished
    made = json.loads((place / "provenance.json").read_text())

    assert made["study"] == "made_up"
    assert made["seeds"] == [0, 1, 2, 3, 4]
    assert made["data_digest"] == "ab" * 32
    assert {"commit", "dirty", "versions", "device"} <= set(made)


def test_the_page_takes_every_result_and_figure():
    node = next(n for n in create_pipeline().nodes if n.outputs == ["report"])

    assert set(node.inputs) == {"params:report", *RESULTS, *JUDGED, *FIGURES}
    drawn = {out for n in create_pipeline().nodes for out in n.outputs if out.endswith("_figure")}
    assert drawn == set(FIGURES)


@pytest.mark.parametrize("environment", ["base", "real"])
def test_the_parameters_of_each_environment_are_valid(environment):
    block = load_config(environment)["parameters"]["report"]

    config = ReportConfig(**block)

    assert config.study == {"base": "sample", "real": "real"}[environment]
    assert [entry.value for entry in config.reference] == {"base": [], "real": [0.35, 0.895]}[
        environment
    ]


@pytest.mark.parametrize("environment", ["base", "real"])
def test_the_model_card_takes_the_licences_of_the_download_block(environment):
    parameters = load_config(environment)["parameters"]

    corpora = ModelCardConfig(**parameters["model_card"]).corpora

    for corpus, facts in corpora["real"].items():
        assert facts.licence == " ".join(parameters["download"][f"{corpus}_licence"].split())
    assert set(corpora) == {"sample", "real"}


def test_the_model_card_is_written_as_text_too(finished):
    place, _, _ = finished

    assert (place / "model_card.md").read_text().startswith("# Model card of the study")


def test_outputs_stand_under_the_study(catalog_entries):
    paths = load_config("real")["catalog"]

    assert paths["report"]["filepath"] == "data/08_reporting/real/report.html"
    assert paths["metrics"]["filepath"] == "data/08_reporting/real/metrics.json"
    layers = {paths[name]["metadata"]["kedro-viz"]["layer"] for name in catalog_entries}
    assert layers == {"reporting"}


def test_every_hint_of_every_node_resolves():
    for node in create_pipeline().nodes:
        hints = typing.get_type_hints(node.func)
        assert "return" in hints
        if "report" in hints:
            assert hints["report"] is ReportConfig


def test_wiring_imports_nothing_heavy():
    code = (
        "import sys; from sports_clip_pipeline.pipelines.report import nodes; "
        "from sports_clip_pipeline.config import report; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "[]"


def test_figures_are_told_from_documents_by_name():
    assert all(name.endswith(nodes.FIGURE) for name in FIGURES)
    assert not any(name.endswith(nodes.FIGURE) for name in RESULTS)
