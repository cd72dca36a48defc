from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sports_clip_pipeline.config.pixels import PIXEL_METHODS, PixelsConfig
from sports_clip_pipeline.errors import UserFacingError

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("environment", ["base", "real"])
def test_the_committed_configuration_is_valid_and_names_every_field(environment: str) -> None:
    file = OmegaConf.load(CONF / environment / "parameters_finetune.yml")
    block = OmegaConf.to_container(file)["pixels"]
    assert set(block) == set(PixelsConfig.__dataclass_fields__)
    PixelsConfig(**block)


def test_lists_may_be_written_with_plus_signs() -> None:
    config = PixelsConfig(methods="lora+flyp", fractions="0.1+1.0", wise_alphas="0+1")
    assert config.methods == ("lora", "flyp")
    assert config.fractions == (0.1, 1.0)
    assert config.wise_alphas == (0.0, 1.0)


def test_all_labels_have_one_subset() -> None:
    config = PixelsConfig(seeds=3)
    assert [len(config.seeds_for(fraction)) for fraction in (0.1, 1.0)] == [3, 1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("methods", "svm"), ("methods", ("flyp", "flyp")), ("fractions", 0.0), ("seeds", 0),
        ("image_size", 16), ("test_size", 96), ("views", "centre"), ("batch_size", 1),
        ("epochs", 0), ("min_steps", 0), ("peak_lr", 0.0), ("random_lr", "fast"), ("lora_lr", 2.0),
        ("head_lr_factor", 0.0), ("weight_decay", -1.0), ("warmup_share", 1.0),
        ("label_smoothing", 1.0), ("crop_area", 0.0), ("ema_decay", 1.0),
        ("freeze_norm_below", -1), ("last_blocks", 0), ("lora_rank", 0), ("lora_alpha", 0.0),
        ("wise_alphas", 1.5), ("held_out_share", 0.6), ("refit_below", -1),
        ("checkpoint_every_steps", 0), ("threads", -1),
    ],
)  # fmt: skip
def test_a_value_out_of_range_names_its_field(field: str, value: object) -> None:
    with pytest.raises(UserFacingError, match=rf"parameter pixels\.{re.escape(field)}.*: wanted"):
        PixelsConfig(**{field: value})


def test_every_method_has_its_module() -> None:
    folder = CONF.parent / "src/sports_clip_pipeline/training/pixels/methods"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "interface"}
    assert modules == set(PIXEL_METHODS)
