from importlib import metadata
from pathlib import Path

import pytest
import torch
from torch import nn

from sports_clip_pipeline.encoders import weights
from sports_clip_pipeline.encoders.weights import (
    IMAGE_ENCODERS,
    TEXT_ENCODERS,
    LocalFile,
    file_name,
    load_every_key,
    weight_facts,
)
from sports_clip_pipeline.errors import UserFacingError


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(UserFacingError, match="no-such-package-here: is not installed"):
        _ = weights.PackagedFile("no-such-package-here", "x", "0").path


def test_every_key_has_to_fit() -> None:
    layer = nn.Linear(3, 2)
    state = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    load_every_key(layer, state, Path("w"))
    torch.testing.assert_close(layer.weight.detach(), state["weight"])
    wrong = {"weight": torch.ones(3, 3), "offset": torch.zeros(2)}
    message = (
        r"of 2 weights of Linear: 1 missing \(bias …\), 1 unexpected \(offset …\), 1 of another"
    )
    with pytest.raises(UserFacingError, match=message):
        load_every_key(layer, wrong, Path("w"))
    load_every_key(layer, {"weight": state["weight"]}, Path("w"), optional=("bias",))


def test_only_safetensors_are_read(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").touch()
    with pytest.raises(UserFacingError, match=r"wanted a \.safetensors file, got \.pth"):
        LocalFile(tmp_path / "weights.pth").checked()
    with pytest.raises(UserFacingError, match="there is no such file"):
        LocalFile(tmp_path / "weights.safetensors").checked()


def test_an_encoder_name_becomes_a_file_name() -> None:
    assert file_name("timm/resnet50.a1_in1k@/data/w 1.safetensors") == (
        "timm-resnet50.a1_in1k-data-w-1.safetensors"
    )
    assert file_name("lite2") == "lite2"


WEIGHTS = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*IMAGE_ENCODERS, *TEXT_ENCODERS])
def test_docs_list_the_packaged_weights(name):
    facts = weight_facts(name)
    row = next(line for line in WEIGHTS.splitlines() if line.startswith(f"| `{name}` |"))

    assert f"`{facts.package}`" in row
    assert facts.licence.split()[0] in row
    assert metadata.version(facts.package)


def test_other_weights_have_no_recorded_licence_and_random_ones_need_none():
    assert "not recorded" in weight_facts("timm/resnet50.tv_in1k").licence
    assert weight_facts("timm/resnet18@/data/a.safetensors").origin == "a file that the study names"
    assert weight_facts("open_clip/ViT-B-32@openai").origin.startswith("the model's publisher")
    assert weight_facts("open_clip/ViT-B-32@random").licence == "none needed"
