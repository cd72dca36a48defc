"""What must hold before a run starts."""

from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node, pipeline

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.hooks import (
    check_inputs,
    check_parameter_blocks,
    check_predict_images,
    check_study,
    check_text_encoders,
    check_torchrun,
    parameter_blocks,
    study_of,
)
from sports_clip_pipeline.io import JsonDocument, RunStateDataset

PROJECT = Path(__file__).parents[1]


def _work(*inputs):
    return inputs


def _loader(folder, env=None, **runtime_params):
    for place in ("base", "local", "real"):
        (folder / place).mkdir(exist_ok=True)
    return OmegaConfigLoader(
        folder,
        env=env,
        runtime_params=runtime_params,
        base_env="base",
        default_run_env="local",
    )


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base/globals.yml").write_text("study: sample\nraw_dir: raw\n")
    (tmp_path / "base/parameters_finetune.yml").write_text("finetune: {seeds: [0]}\n")
    (tmp_path / "base/parameters_embed.yml").write_text(
        "embed: {raw: '${runtime_params:raw_dir,x}'}\n"
    )
    return tmp_path


def test_known_blocks_and_the_raw_folder_pass(conf):
    check_parameter_blocks(_loader(conf, finetune={"seeds": "0+1"}, raw_dir="elsewhere"))
    check_parameter_blocks(_loader(conf))


def test_a_mistyped_block_is_refused_with_the_nearest(conf):
    with pytest.raises(UserFacingError) as caught:
        check_parameter_blocks(_loader(conf, finetnue={"seeds": 1}))
    assert str(caught.value) == (
        "--params=finetnue: finetnue is no parameter block; "
        "did you mean finetune? known are embed, finetune, raw_dir, study"
    )


def test_a_block_like_none_is_refused_with_all(conf):
    with pytest.raises(UserFacingError, match="known are embed, finetune, raw_dir, study"):
        check_parameter_blocks(_loader(conf, zzz=1))


def test_a_block_of_another_environment_is_known_there_alone(conf):
    (conf / "real").mkdir()
    (conf / "real/parameters_more.yml").write_text("more: {a: 1}\n")
    check_parameter_blocks(_loader(conf, env="real", more={"a": 2}))
    with pytest.raises(UserFacingError, match="more is no parameter block"):
        check_parameter_blocks(_loader(conf, more={"a": 2}))


def test_looking_at_the_blocks_leaves_the_loader_as_it_was(conf):
    loader = _loader(conf, raw_dir="elsewhere")
    assert parameter_blocks(loader) == {"embed", "finetune"}
    assert loader["parameters"]["embed"] == {"raw": "elsewhere"}


@pytest.mark.parametrize("study", ["Real", "a-b", "../up", "a b", "", "2024", "null", "[a]"])
def test_a_study_that_cannot_name_a_folder_is_refused(conf, study):
    (conf / "base/globals.yml").write_text(f"study: {study}\n")
    with pytest.raises(UserFacingError, match=r"globals\.yml.*a-z, 0-9 and _"):
        check_study(_loader(conf))


def test_a_tokenizer_of_another_text_tower_is_refused(conf):
    (conf / "base/parameters_embed.yml").write_text("embed: {text_encoder: minilm}\n")
    (conf / "base/parameters_tokenize.yml").write_text("tokenize: {text_encoder: minilm}\n")
    check_text_encoders(_loader(conf))
    with pytest.raises(UserFacingError, match=r"wanted that of embed, hf/x, got minilm"):
        check_text_encoders(_loader(conf, embed={"text_encoder": "hf/x"}))


def test_images_that_the_submissions_would_not_read_are_told(conf):
    submissions, answers = (
        Pipeline([node(lambda: 1, None, name, name=name, tags=name)])
        for name in ("predict", "predict_images")
    )
    (conf / "base/parameters_predict.yml").write_text("predict: {images: ''}\n")
    check_predict_images(_loader(conf), submissions)
    (conf / "base/parameters_predict.yml").write_text("predict: {images: mine}\n")
    check_predict_images(_loader(conf), answers)
    with pytest.raises(UserFacingError, match=r"is 'mine'.*--pipelines=predict_images"):
        check_predict_images(_loader(conf), submissions)
    check_predict_images(_loader(conf, predict={"images": ""}), submissions)


def test_torchruns_processes_share_embed_or_pretrain_and_nothing_else(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    one, other = (
        Pipeline([node(lambda: 1, None, name, name=name, tags=name)])
        for name in ("embed", "ingest")
    )
    check_torchrun(one)
    with pytest.raises(UserFacingError, match="one of them at a time"):
        check_torchrun(one + other)
    monkeypatch.delenv("RANK")
    check_torchrun(one + other)


def test_a_run_may_name_its_study(conf):
    loader = _loader(conf, study="mine")
    check_parameter_blocks(loader)
    check_study(loader)
    assert study_of(loader) == "mine"
    with pytest.raises(UserFacingError, match="--params=study"):
        check_study(_loader(conf, study="../mine"))


@pytest.mark.parametrize("study", ["sample", "real_2", "'2024'"])
def test_a_study_of_plain_letters_passes(conf, study):
    (conf / "base/globals.yml").write_text(f"study: {study}\n")
    check_study(_loader(conf))


def test_the_committed_studies_pass():
    for env in (None, "real"):
        check_study(
            OmegaConfigLoader(PROJECT / "conf", env=env, base_env="base", default_run_env="local")
        )


def _parts():
    parts = {
        "ingest": pipeline([node(_work, "source", "splits", name="ingest")]),
        "embed": pipeline([node(_work, "splits", "features", name="embed")]),
        "finetune": pipeline(
            [
                node(
                    _work,
                    ["features", "splits", "params:finetune", "finetune_state"],
                    "predictor",
                    name="finetune",
                )
            ]
        ),
    }
    raw = {"download": pipeline([node(_work, None, "source", name="download")])}
    return {**parts, **raw, "__default__": sum(parts.values(), pipeline([]))}


@pytest.fixture
def catalog(tmp_path):
    stored = ("source", "splits", "features", "predictor")
    return DataCatalog(
        {
            **{name: JsonDocument(filepath=str(tmp_path / f"{name}.json")) for name in stored},
            "finetune_state": RunStateDataset(filepath=str(tmp_path / "state")),
            "params:finetune": MemoryDataset({}),
        }
    )


def _refusal(part, catalog, folder, env=None):
    parts = _parts()
    with pytest.raises(UserFacingError) as caught:
        check_inputs({"project_path": str(folder), "env": env}, parts[part], catalog, parts)
    return str(caught.value)


def test_a_missing_input_names_its_file_its_maker_and_the_command(catalog, tmp_path):
    catalog.save("splits", {})
    assert _refusal("finetune", catalog, tmp_path) == (
        "features.json: features is missing; pipeline embed makes it; "
        "run `kedro run --pipelines=embed` first"
    )


def test_all_that_misses_is_made_in_one_command_and_in_order(catalog, tmp_path):
    said = _refusal("finetune", catalog, tmp_path, env="real")
    assert said.startswith("splits.json: splits is missing; pipeline ingest")
    assert "`kedro run --env=real --pipelines=ingest,embed`" in said


def test_what_a_present_file_was_made_of_is_not_asked_for(catalog, tmp_path):
    parts = _parts()
    catalog.save("splits", {})
    catalog.save("features", {})
    facts = {"project_path": str(tmp_path), "env": None}
    check_inputs(facts, parts["finetune"], catalog, parts)


def test_raw_inputs_speak_for_themselves(catalog, tmp_path):
    parts = _parts()
    check_inputs({"project_path": str(tmp_path), "env": None}, parts["ingest"], catalog, parts)
    check_inputs({"project_path": str(tmp_path), "env": None}, parts["__default__"], catalog, parts)
