"""Parameters of the `pretrain` pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import require_number


@dataclass(frozen=True)
class PretrainConfig:
    """Contrastive pretraining of the projections over locked towers.

    Attributes:
        embed_dim: width of the shared space.
        epochs: passes over the training images.
        batch_size: images a step; each brings `captions_per_image` of its captions.
        captions_per_image: captions drawn for each image of a batch, without replacement.
        peak_lr: learning rate after warm-up; falls to 0 along a cosine.
        warmup_share: share of all steps over which the rate rises.
        weight_decay: AdamW's.
        feature_dropout: share of features zeroed while training.
        feature_noise: standard deviation of noise added to standardised features.
        initial_temperature: the logit scale starts at its inverse.
        checkpoint_every_epochs: how often the resumable state is saved.
        seed: of initialisation, order and noise.
    """

    embed_dim: int = 512
    epochs: int = 30
    batch_size: int = 1024
    captions_per_image: int = 5
    peak_lr: float = 2e-3
    warmup_share: float = 0.1
    weight_decay: float = 0.1
    feature_dropout: float = 0.1
    feature_noise: float = 0.0
    initial_temperature: float = 0.07
    checkpoint_every_epochs: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("embed_dim", 8, 4096),
            ("epochs", 1, 10_000),
            ("batch_size", 2, 65_536),
            ("captions_per_image", 1, 100),
            ("checkpoint_every_epochs", 1, 10_000),
            ("seed", 0, 2**31 - 1),
        ):
            require_number(getattr(self, name), f"pretrain.{name}", low, high, integer=True)
        for name, low_share, high_share in (
            ("peak_lr", 1e-7, 1.0),
            ("warmup_share", 0.0, 0.9),
            ("weight_decay", 0.0, 10.0),
            ("feature_dropout", 0.0, 0.9),
            ("feature_noise", 0.0, 10.0),
            ("initial_temperature", 0.01, 1.0),
        ):
            require_number(getattr(self, name), f"pretrain.{name}", low_share, high_share)
