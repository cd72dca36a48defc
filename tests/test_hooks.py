"""Checks before a run starts."""

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.hooks import (
    CheckHooks,
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


def _loader(folder, env=None, **runtime_params):
    for name in ("base", "local", "real"):
        (folder / name).mkdir(exist_ok=True)
    return OmegaConfigLoader(
        folder, env=env, runtime_params=runtime_params, base_env="base", default_run_env="local"
    )


def _pipeline(*names):
    """A pipeline of nodes that have their names as tags and write datasets of these names."""
    return Pipeline([node(lambda: 1, None, name, name=name, tags=name) for name in names])


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base/globals.yml").write_text("study: sample\nraw_dir: raw\n")
    (tmp_path / "base/parameters_finetune.yml").write_text("finetune: {seeds: [0]}\n")
    (tmp_path / "base/parameters_embed.yml").write_text(
        "embed: {raw: '${runtime_params:raw_dir,x}'}\n"
    )
    return tmp_path


def test_existing_blocks_and_the_raw_folder_are_accepted(conf):
    check_parameter_blocks(_loader(conf, finetune={"seeds": "0+1"}, raw_dir="elsewhere"))
    check_parameter_blocks(_loader(conf))
    loader = _loader(conf, raw_dir="elsewhere")
    assert parameter_blocks(loader) == {"embed", "finetune"}
    assert loader["parameters"]["embed"] == {"raw": "elsewhere"}, "the loader is unchanged"


@pytest.mark.parametrize(("name", "hint"), [("finetnue", "did you mean finetune? "), ("zzz", "")])
def test_an_unknown_block_is_an_error_with_the_nearest_name(conf, name, hint):
    with pytest.raises(UserFacingError) as caught:
        check_parameter_blocks(_loader(conf, **{name: {"seeds": 1}}))
    assert str(caught.value) == (
        f"--params={name}: {name} is no parameter block; "
        f"{hint}known are embed, finetune, raw_dir, study"
    )


def test_a_block_of_another_environment_exists_only_there(conf):
    (conf / "real").mkdir()
    (conf / "real/parameters_more.yml").write_text("more: {a: 1}\n")
    check_parameter_blocks(_loader(conf, env="real", more={"a": 2}))
    with pytest.raises(UserFacingError, match="more is no parameter block"):
        check_parameter_blocks(_loader(conf, more={"a": 2}))


@pytest.mark.parametrize("study", ["Real", "a-b", "../up", "a b", "", "2024", "null", "[a]"])
def test_a_study_must_be_a_text_of_lower_case_letters_and_digits(conf, study):
    for valid in ("sample", "real_2", "'2024'"):
        (conf / "base/globals.yml").write_text(f"study: {valid}\n")
        check_study(_loader(conf))
    (conf / "base/globals.yml").write_text(f"study: {study}\n")
    with pytest.raises(UserFacingError, match=r"globals\.yml.*a-z, 0-9 and _"):
        check_study(_loader(conf))


def test_runtime_parameters_may_name_the_study(conf):
    loader = _loader(conf, study="mine")
    check_parameter_blocks(loader)
    check_study(loader)
    assert study_of(loader) == "mine"
    with pytest.raises(UserFacingError, match="--params=study"):
        check_study(_loader(conf, study="../mine"))


def test_a_tokenizer_of_another_text_encoder_is_an_error(conf):
    (conf / "base/parameters_embed.yml").write_text("embed: {text_encoder: minilm}\n")
    (conf / "base/parameters_tokenize.yml").write_text("tokenize: {text_encoder: minilm}\n")
    check_text_encoders(_loader(conf))
    with pytest.raises(UserFacingError, match=r"wanted that of embed, hf/x, got minilm"):
        check_text_encoders(_loader(conf, embed={"text_encoder": "hf/x"}))


def test_images_to_predict_are_an_error_where_submissions_are_written(conf):
    submissions, images = _pipeline("predict"), _pipeline("predict_images")
    (conf / "base/parameters_predict.yml").write_text("predict: {images: ''}\n")
    check_predict_images(_loader(conf), submissions)
    (conf / "base/parameters_predict.yml").write_text("predict: {images: mine}\n")
    check_predict_images(_loader(conf), images)
    with pytest.raises(UserFacingError, match=r"is 'mine'.*--pipelines=predict_images"):
        check_predict_images(_loader(conf), submissions)
    check_predict_images(_loader(conf, predict={"images": ""}), submissions)


def test_torchrun_is_for_embed_or_pretrain_only(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_torchrun(_pipeline("embed"))
    with pytest.raises(UserFacingError, match="one of them at a time"):
        check_torchrun(_pipeline("embed", "ingest"))
    monkeypatch.delenv("RANK")
    check_torchrun(_pipeline("embed", "ingest"))


def _registered():
    def stage(name, inputs, output):
        return Pipeline([node(lambda *inputs: inputs, inputs, output, name=name)])

    finetune = ["features", "splits", "params:finetune", "finetune_state"]
    stages = {
        "ingest": stage("ingest", "source", "splits"),
        "embed": stage("embed", "splits", "features"),
        "finetune": stage("finetune", finetune, "predictor"),
    }
    default = sum(stages.values(), Pipeline([]))
    return {**stages, "download": stage("download", None, "source"), "__default__": default}


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


def _check(name, catalog, folder, env=None):
    registered = _registered()
    run_params = {"project_path": str(folder), "env": env}
    check_inputs(run_params, registered[name], catalog, registered)


def test_a_missing_input_names_its_file_its_pipeline_and_the_command(catalog, tmp_path):
    catalog.save("splits", {})
    with pytest.raises(UserFacingError) as caught:
        _check("finetune", catalog, tmp_path)
    assert str(caught.value) == (
        "features.json: features is missing; pipeline embed makes it; "
        "run `kedro run --pipelines=embed` first"
    )


def test_one_command_makes_all_missing_inputs_in_order(catalog, tmp_path):
    with pytest.raises(UserFacingError) as caught:
        _check("finetune", catalog, tmp_path, env="real")
    assert str(caught.value).startswith("splits.json: splits is missing; pipeline ingest")
    assert "`kedro run --env=real --pipelines=ingest,embed`" in str(caught.value)


def test_sources_of_existing_files_and_raw_inputs_are_not_checked(catalog, tmp_path):
    for name in ("ingest", "__default__"):
        _check(name, catalog, tmp_path)
    catalog.save("splits", {})
    catalog.save("features", {})
    _check("finetune", catalog, tmp_path)


def test_before_a_run_garbage_collection_at_exit_is_disabled(monkeypatch):
    calls = []
    monkeypatch.setattr("sports_clip_pipeline.hooks.skip_gc_at_exit", lambda: calls.append(1))
    CheckHooks().before_pipeline_run({}, Pipeline([]), DataCatalog())
    assert calls == [1]
