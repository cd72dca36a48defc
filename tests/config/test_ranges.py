"""Out-of-range values of the learning pipelines' blocks name their field."""

from __future__ import annotations

import re

import pytest

from sports_clip_pipeline.config.embed import EmbedConfig
from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.config.pretrain import PretrainConfig
from sports_clip_pipeline.config.tokenize import TokenizeConfig
from sports_clip_pipeline.config.zero_shot import ZeroShotConfig
from sports_clip_pipeline.errors import UserFacingError

CASES = [
    *((EmbedConfig, "embed", field, value) for field, value in {
        "image_tower": "resnet", "text_tower": "bert", "image_size": 100,
        "backend": "tpu", "workers": -1, "batch_size": 0,
    }.items()),
    *((FinetuneConfig, "finetune", field, value) for field, value in {
        "methods": "svm", "fractions": "0.1+1.5", "seeds": 6, "many_labels": 2.0,
        "seeds_at_many_labels": 0, "folds": 1, "logreg_c": (0.0,), "mlp_steps": (0,),
        "mlp_lr": 0.0, "mlp_batch_size": 0, "workers": -1, "bootstrap_resamples": 1,
    }.items()),
    *((PretrainConfig, "pretrain", field, value) for field, value in {
        "embed_dim": 4, "epochs": 0, "batch_size": 1, "captions_per_image": 0, "peak_lr": 0.0,
        "warmup_share": 1.0, "weight_decay": -1.0, "feature_dropout": 1.0, "feature_noise": -0.1,
        "initial_temperature": 0.0, "checkpoint_every_epochs": 0, "seed": -1,
    }.items()),
    (TokenizeConfig, "tokenize", "text_tower", "bert"),
    (TokenizeConfig, "tokenize", "context_length", 4),
    (ZeroShotConfig, "zero_shot", "prompts", "none"),
    (ZeroShotConfig, "zero_shot", "bootstrap_resamples", 1),
    (ZeroShotConfig, "zero_shot", "seed", "0"),
]  # fmt: skip


@pytest.mark.parametrize(("block", "name", "field", "value"), CASES)
def test_a_value_out_of_range_names_its_field(
    block: type, name: str, field: str, value: object
) -> None:
    with pytest.raises(UserFacingError, match=rf"parameter {name}\.{re.escape(field)}.*: wanted"):
        block(**{field: value})


def test_a_value_twice_is_refused() -> None:
    with pytest.raises(UserFacingError, match="no value twice"):
        FinetuneConfig(fractions=(0.1, 0.1))
