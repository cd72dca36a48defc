import io
import json
import time
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner
from PIL import Image

from sports_clip_pipeline.pipelines.report.config import ModelCardConfig, ReportConfig
from sports_clip_pipeline.pipelines.report.pipeline import FIGURES, RESULTS, create_pipeline
from sports_clip_pipeline.report.sections import StudyResults
from tests.conftest import config_loader
from tests.report.factories import CARD_CONFIG, NAMES, REFERENCE, make_results

OUTPUTS = ("{name}_figure", "metrics", "provenance", "model_card", "report")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The outputs of the pipeline on disk, from synthetic results in memory."""
    folder = tmp_path_factory.mktemp("study")
    everything = config_loader("base")["catalog"]
    entries = {name: everything[name] for name in OUTPUTS}
    for entry in entries.values():
        entry["filepath"] = str(folder / Path(entry["filepath"]).name)
    catalog = DataCatalog.from_config(entries)
    results = make_results()
    del results["provenance"]
    thumbnails = results.pop("thumbnails")
    for field, result in results.items():
        catalog[field] = result
    images = [Image.open(io.BytesIO(content)) for content in thumbnails.values()]
    catalog["sports_images"] = SimpleNamespace(get=images.__getitem__)
    catalog["sports_manifest"] = pd.DataFrame({"image": list(thumbnails)})
    catalog["params:report"] = ReportConfig(study="made_up", methods=NAMES, reference=REFERENCE)
    catalog["params:model_card"] = CARD_CONFIG
    started = time.process_time()
    SequentialRunner().run(create_pipeline(), catalog)
    return folder, catalog, time.process_time() - started


def test_the_pipeline_writes_page_card_metrics_figures_and_provenance(finished):
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
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["study"] == "made_up"
    assert provenance["seeds"] == [0, 1, 2, 3, 4]
    assert provenance["data_digest"] == "ab" * 32
    assert {"commit", "dirty", "versions", "device"} <= set(provenance)


def test_every_result_has_a_dataset_and_every_figure_is_saved():
    assert set(RESULTS) == {one.name for one in fields(StudyResults)} - {"config", "model_card"}
    outputs = {name for node in create_pipeline().nodes for name in node.outputs}
    assert {f"{name}_figure" for name in FIGURES} <= outputs


@pytest.mark.parametrize(
    ("environment", "study", "published"), [("base", "sample", []), ("real", "real", [0.35, 0.895])]
)
def test_the_parameters_of_each_environment_are_valid(environment, study, published):
    parameters = config_loader(environment)["parameters"]
    config = ReportConfig(**parameters["report"])
    assert config.study == study
    assert [entry.value for entry in config.reference] == published
    corpora = ModelCardConfig(**parameters["model_card"]).corpora
    assert set(corpora) == {"sample", "real"}
    for corpus, facts in corpora["real"].items():
        assert facts.licence == " ".join(parameters["download"][f"{corpus}_licence"].split())


def test_outputs_are_in_the_folder_of_the_study_and_figures_are_artifacts():
    entries = config_loader("real")["catalog"]
    assert entries["report"]["filepath"] == "data/08_reporting/real/report.html"
    assert entries["metrics"]["filepath"] == "data/08_reporting/real/metrics.json"
    assert {entries[name]["metadata"]["kedro-viz"]["layer"] for name in OUTPUTS} == {"reporting"}
    dataset = DataCatalog.from_config(entries).get("learning_curve_figure")
    assert dataset.metadata["mlflow"] == {"artifact": "figures"}
    assert str(dataset._filepath).endswith("data/08_reporting/real/figures/learning_curve.json")
