from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import pytest

from sports_clip_pipeline.config.pretrain import PretrainConfig
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import fingerprint

OTHERWISE = {
    "unlocked_image_blocks": -1,
    "unlocked_text_blocks": 2,
    "tower_epochs": 7,
    "tower_peak_lr": 1e-5,
    "tower_batch_size": 16,
    "tower_accumulation": 4,
    "tower_dropout": False,
    "tower_statistics": "kept",
    "tower_ema_decay": 0.9,
    "compiled": "on",
    "num_processes": 2,
    "checkpoint_every_steps": 7,
    "precision": "bf16",
    "device": "cpu",
}


def test_towers_are_locked_unless_one_is_asked_for() -> None:
    assert not PretrainConfig().unlocks
    assert PretrainConfig(unlocked_image_blocks=-1).unlocks
    assert PretrainConfig(unlocked_text_blocks=1).unlocks


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("unlocked_image_blocks", -2), ("unlocked_text_blocks", 1.5), ("tower_epochs", 0),
        ("tower_peak_lr", 0.0), ("tower_batch_size", 1), ("precision", "int8"),
        ("device", "tpu"), ("loss", "triplet"), ("keep", "all"), ("patience_epochs", -1),
        ("evaluate_every_epochs", 0), ("tower_accumulation", 0), ("tower_dropout", 0.5),
        ("tower_statistics", "none"), ("num_processes", 0), ("num_processes", 129),
        ("checkpoint_every_steps", 0),
    ],
)  # fmt: skip
def test_a_value_out_of_range_names_its_field(field: str, value: object) -> None:
    with pytest.raises(UserFacingError, match=rf"parameter pretrain\.{field}: wanted"):
        PretrainConfig(**{field: value})


def test_how_towers_are_unlocked_does_not_touch_what_locked_towers_gave() -> None:
    plain = PretrainConfig()
    assert replace(plain, **OTHERWISE).locked_part() == plain.locked_part()
    assert replace(plain, seed=1).locked_part() != plain.locked_part()


def test_a_locked_part_is_known_by_the_fingerprint_of_a_block_without_towers() -> None:
    """So another way of unlocking the towers finds what locked ones learned."""

    @dataclass
    class PretrainConfigOfBefore:
        embed_dim: int
        projections: str
        epochs: int
        batch_size: int
        captions_per_image: int
        loss: str
        peak_lr: float
        warmup_share: float
        weight_decay: float
        drawn_views: bool
        feature_dropout: float
        feature_noise: float
        initial_temperature: float
        checkpoint_every_epochs: int
        evaluate_every_epochs: int
        keep: str
        patience_epochs: int
        seed: int

    PretrainConfigOfBefore.__name__ = "PretrainConfig"
    now = {name: value for name, value in asdict(PretrainConfig()).items() if name not in OTHERWISE}
    before = PretrainConfigOfBefore(**now)
    assert fingerprint(PretrainConfig().locked_part()) == fingerprint(before)
