"""Typed parameter blocks, environments merged over base, and the generated reference."""

import re
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader

from sports_clip_pipeline import parameter_reference
from sports_clip_pipeline.data.class_bank import class_bank_yaml
from sports_clip_pipeline.data.formats import ArchiveLimits
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.hooks import check_study, check_text_encoders
from sports_clip_pipeline.io.fingerprint import fingerprint
from sports_clip_pipeline.parameters import Parameters
from sports_clip_pipeline.pipeline_registry import register_pipelines
from sports_clip_pipeline.pipelines.analysis.config import AnalysisConfig
from sports_clip_pipeline.pipelines.cam.config import CamConfig, CamEvalConfig
from sports_clip_pipeline.pipelines.embed.config import EmbedConfig, TokenizeConfig
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig, FinetuneConfig
from sports_clip_pipeline.pipelines.ingest.config import DownloadConfig, IngestConfig
from sports_clip_pipeline.pipelines.predict.config import PredictConfig
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.pipelines.zero_shot.config import TransductionConfig, ZeroShotConfig
from tests.conftest import ROOT, config_loader

LABELS = ("bald_eagle", "Würger – neu", "no", "St. Bernard", "2020")
PAIR = "open_clip/ViT-B-32@random"
INVALID: list[tuple[type[Parameters], dict[str, Any], str]] = [
    (CamConfig, {"right": -1}, "cam.right: wanted"),
    (CamConfig, {"right": 0, "wrong": 0}, "at least one image"),
    (CamConfig, {"confident_share": 0}, "cam.confident_share"),
    (CamConfig, {"methods": "saliency"}, "wanted one of eigencam, gradcam"),
    (CamConfig, {"methods": ["gradcam", "gradcam"]}, "no value twice"),
    (CamConfig, {"prompts": ["a {ball}"]}, "wanted free text"),
    (CamConfig, {"classes": ["tennis"]}, "wanted one of {predicted}, {true}"),
    (CamConfig, {"layer": " "}, "cam.layer"),
    (CamEvalConfig, {"road_shares": "0.5+1.0"}, r"wanted values in (0, 1)"),
    (CamEvalConfig, {"images": 0}, "cam_eval.images"),
    (EmbedConfig, {"image_encoder": "resnet"}, "timm/<architecture>"),
    (EmbedConfig, {"text_encoder": "bert"}, "embed.text_encoder"),
    (EmbedConfig, {"image_size": 100}, "multiple of 32"),
    (EmbedConfig, {"image_encoder": PAIR}, "the same pair"),
    (EmbedConfig, {"additional_encoders": ["lite2"]}, "other than image_encoder"),
    (EmbedConfig, {"backend": "tpu"}, "embed.backend"),
    (EmbedConfig, {"workers": True}, "embed.workers: wanted a valid integer, got True"),
    (EndToEndConfig, {"methods": "svm"}, "end_to_end.methods"),
    (EndToEndConfig, {"fractions": "0.1+1.5"}, r"wanted values in (0, 1]"),
    (EndToEndConfig, {"test_size": 64, "image_size": 96}, "at least image_size (96)"),
    (EndToEndConfig, {"ema_decay": 1.0}, "end_to_end.ema_decay"),
    (AnalysisConfig, {"accuracies": [0.0]}, "analysis.accuracies"),
    (FinetuneConfig, {"coverage": 1.5}, "finetune.coverage"),
    (IngestConfig, {"near_inliers": 5}, "ingest.near_inliers"),
    (IngestConfig, {"labelled": {"form": "tree"}}, "ingest.labelled.form"),
    (IngestConfig, {"labelled": {"images_folder": "../up"}}, "ingest.labelled.images_folder"),
    (IngestConfig, {"labelled": {"labels_file": "a/b.csv"}}, "a name without folders"),
    (IngestConfig, {"limits": {"member_bytes": "many"}}, "ingest.limits.member_bytes"),
    (PredictConfig, {"images": 2024}, "predict.images"),
    (PretrainConfig, {"epochs": 0}, "where no encoder is unlocked"),
    (PretrainConfig, {"projections": "none"}, "wanted epochs=0"),
    (PretrainConfig, {"peak_lr": 0.0}, "pretrain.peak_lr"),
    (PretrainConfig, {"loss": "triplet"}, "pretrain.loss"),
    (PretrainConfig, {"encoder_dropout": 0.5}, "pretrain.encoder_dropout"),
    (PretrainConfig, {"seed": "0"}, "pretrain.seed: wanted a valid integer, got '0'"),
    (PretrainConfig, {"epoch": 3}, "pretrain.epoch: there is no such field; did you mean epochs?"),
    (ReportConfig, {}, "report.study: wanted a value, got none"),
    (ReportConfig, {"study": "s", "reference": [{"measure": "x"}]}, "report.reference.0.measure"),
    (TokenizeConfig, {"context_length": 4}, "tokenize.context_length"),
    (ZeroShotConfig, {"names_weights": "a+b"}, "wanted float values, as a list or a+b"),
    (TransductionConfig, {"methods": ["soft_k_means"]}, "wanted shipped to be one of soft_k_means"),
]


@pytest.mark.parametrize(("block", "values", "message"), INVALID)
def test_an_invalid_value_is_an_error_that_names_its_field(
    block: type[Parameters], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserFacingError, match=re.escape(message)) as caught:
        block(**values)
    assert str(caught.value).startswith(f"parameter {block.block}")


def test_lists_accept_plus_signs_and_sizes_accept_units() -> None:
    assert EndToEndConfig(fractions="0.25+1").fractions == (0.25, 1.0)
    assert EmbedConfig(views=["full", "centre"]).views == ("full", "centre")
    assert EmbedConfig(additional_encoders="lite1+lite0").additional_encoders == ("lite0", "lite1")
    assert ArchiveLimits(member_bytes="2MiB", total_bytes=5).member_bytes == 2 * 2**20


def loaded(env: str) -> dict[str, Any]:
    return dict(config_loader(env)["parameters"])


@pytest.mark.parametrize("env", ["base", "real", "own"])
def test_fields_that_an_environment_leaves_out_have_the_value_of_base(env: str) -> None:
    base, other = loaded("base"), loaded(env)
    for path in ROOT.glob(f"conf/{env}/parameters_*.yml"):
        for block in base.keys() & {path.stem.removeprefix("parameters_")}:
            assert base[block].keys() <= other[block].keys()
    assert other["analysis"] == base["analysis"]
    assert other["pretrain"]["embed_dim"] == base["pretrain"]["embed_dim"]
    assert other["ingest"]["near_inliers"] == base["ingest"]["near_inliers"]
    assert len(loaded("real")["class_bank"]["classes"]) == 22, "lists are replaced"


def test_unlocking_encoders_does_not_change_the_fingerprint_of_the_locked_part() -> None:
    plain = PretrainConfig()
    other = PretrainConfig(
        unlocked_image_blocks=-1, encoder_epochs=7, ema_decay=0.9, freeze_batch_norm=True,
        precision="bf16", device="cpu", compiled="on", checkpoint_every_steps=7,
    )  # fmt: skip
    assert fingerprint(other.locked_part()) == fingerprint(plain.locked_part())
    assert PretrainConfig(seed=1).locked_part() != plain.locked_part()
    assert other.unlocks and not plain.unlocks


def test_the_downloads_of_base_have_checksums_and_valid_mirrors() -> None:
    block = {**loaded("base")["download"], "study": "real"}
    config = DownloadConfig(**block)
    assert config.corpora == ("flickr8k", "sports")
    for archive in config.flickr8k_archives:
        assert archive.checksum
        assert all(url.endswith(f"/{archive.name}") for url in archive.mirrors)
    for archive in ({"name": "../a.zip"}, {"checksum": "md5:1"}, {"mirrors": ["ftp://a/b"]}):
        entry = {"name": "a.zip", "checksum": None, "mirrors": "https://a.org/b", **archive}
        with pytest.raises(UserFacingError, match=r"download\.flickr8k_archives\.0"):
            DownloadConfig(**{**block, "flickr8k_archives": [entry]})


@pytest.fixture
def own_environment(tmp_path: Path) -> OmegaConfigLoader:
    """The configuration of `--env=own` with a written class bank."""
    for name in ("base", "own"):
        shutil.copytree(ROOT / "conf" / name, tmp_path / name)
    (tmp_path / "own" / "parameters_class_bank.yml").write_text(class_bank_yaml(LABELS))
    return config_loader("own", tmp_path)


def hinted_blocks() -> Iterator[tuple[str, Any]]:
    """The name and the type hint of every `params:` input of every node."""
    for node in {node for pipeline in register_pipelines().values() for node in pipeline.nodes}:
        hints = typing.get_type_hints(node.func)
        for argument, name in node._inputs.items():
            if name.startswith("params:"):
                yield name.removeprefix("params:"), hints[argument]


def test_every_parameter_block_of_a_node_is_a_valid_model(
    own_environment: OmegaConfigLoader,
) -> None:
    parameters = own_environment["parameters"]
    hints = dict(hinted_blocks())
    assert all(issubclass(hint, Parameters) for hint in hints.values()), hints
    built = {name: hint(**parameters[name]) for name, hint in hints.items()}
    assert {"ingest", "class_bank", "embed", "pretrain", "finetune", "analysis"} <= set(built)
    assert built["class_bank"].labels == LABELS
    assert built["report"].study == "own"
    assert built["report"].reference == ()
    check_study(own_environment)
    check_text_encoders(own_environment)


def test_the_catalog_of_own_images_uses_the_corpus_names_of_its_globals(
    own_environment: OmegaConfigLoader,
) -> None:
    catalog = own_environment["catalog"]
    assert catalog["sports_source"]["filepath"] == "data/01_raw/own/images"
    assert catalog["flickr8k_source"]["filepath"] == "data/01_raw/own/flickr8k"
    assert catalog["report"]["filepath"].startswith("data/08_reporting/own/")
    assert not (ROOT / "conf/own/parameters_class_bank.yml").exists(), "users write their own"


def test_the_committed_reference_is_the_generated_one() -> None:
    page = (ROOT / "docs/reference/parameters.md").read_text(encoding="utf-8")
    assert page == parameter_reference.markdown(), "run: kedro config --markdown > the page"


def test_every_setting_has_a_description() -> None:
    blocks = parameter_reference.parameter_models().items()
    assert {"analysis", "embed", "finetune", "pretrain", "report", "tracking"} <= {*dict(blocks)}
    for block, model in blocks:
        assert all(row.description for row in parameter_reference.settings_of(model, block)), block


def test_a_value_comes_with_its_origin() -> None:
    loader = config_loader("real", finetune={"folds": 3})
    rows = parameter_reference.resolved(loader, ROOT / "conf")
    found = {setting.name: (value, origin) for setting, value, origin in rows}
    assert found["embed.image_encoder"] == ("lite2", "real/parameters_embed.yml")
    assert found["embed.text_encoder"] == ("minilm", "base/parameters_embed.yml")
    assert found["embed.batch_size"] == (32, "default")
    assert found["finetune.folds"] == (3, "--params")
    assert found["tracking.enabled"] == (True, "base/parameters_tracking.yml")
    assert found["finetune.methods.ridge.alpha"][1] == "base/parameters_finetune.yml"
