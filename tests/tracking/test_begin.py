"""Name, tags and parameters of a run."""

from dataclasses import dataclass

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline

from sports_clip_pipeline.datasets import JsonDocument
from sports_clip_pipeline.tracking.begin import begin, data_tags, parameters_of
from tests.tracking.conftest import CONFIG


def _work(*inputs):
    return inputs


@dataclass(frozen=True)
class Block:
    rate: float = 0.1
    method: str = "logreg"


def _catalog(tmp_path):
    return DataCatalog(
        {
            "params:finetune": MemoryDataset(Block()),
            "params:embed": MemoryDataset({"batch": 4}),
            "params:report": MemoryDataset({"title": "not run"}),
            "ingest_audit": JsonDocument(filepath=str(tmp_path / "audit.json")),
        }
    )


WORK = pipeline(
    [
        node(_work, "params:finetune", "a", name="a"),
        node(_work, ["params:embed", "a"], "b", name="b"),
    ]
)


def test_parameters_are_those_of_the_pipelines_that_run(tmp_path):
    assert parameters_of(WORK, _catalog(tmp_path)) == {
        "embed.batch": "4",
        "finetune.method": "logreg",
        "finetune.rate": "0.1",
    }


def test_the_digest_is_that_of_the_data_that_stands(tmp_path):
    catalog = _catalog(tmp_path)
    ingest = pipeline([node(_work, None, "ingest_audit", name="ingest")])
    assert data_tags(WORK, catalog) == {}
    catalog.save("ingest_audit", {"data_digest": "abc", "counts": {}})
    assert data_tags(WORK, catalog) == {"data_digest": "abc"}
    assert data_tags(WORK + ingest, catalog) == {}, "this run makes it anew"


def test_a_run_says_what_it_came_from(project, tmp_path, all_runs):
    catalog = _catalog(tmp_path)
    catalog.save("ingest_audit", {"data_digest": "abc"})
    facts = {"project_path": str(project), "env": "real", "pipeline_names": ["embed", "finetune"]}
    begin(CONFIG, "real", facts, WORK, catalog).finish("FINISHED")
    run = all_runs()["real embed,finetune"]
    assert run.data.params["finetune.rate"] == "0.1"
    wanted = {"study": "real", "env": "real", "pipelines": "embed,finetune", "data_digest": "abc"}
    assert wanted.items() <= run.data.tags.items()
    assert {"git.commit", "git.dirty", "device"} <= run.data.tags.keys()


def test_the_default_pipeline_and_base_are_named(project, tmp_path, all_runs):
    facts = {"project_path": str(project), "env": None, "pipeline_names": None}
    begin(CONFIG, "sample", facts, WORK, _catalog(tmp_path)).finish("FINISHED")
    tags = all_runs()["sample __default__"].data.tags
    assert (tags["env"], tags["pipelines"]) == ("base", "__default__")
