"""Parameter block `pretrain`: contrastive pretraining of projections, then of the encoders."""

from typing import Annotated, Any

from pydantic import Field

from sports_clip_pipeline.parameters import Parameters, Seed, choices

LOSSES = ("info_nce", "siglip", "soft_targets")
PROJECTIONS = ("linear", "notebook", "none")
_UNLOCKED = (
    "unlocked_image_blocks", "unlocked_text_blocks", "encoder_epochs", "encoder_peak_lr",
    "encoder_batch_size", "encoder_accumulation", "encoder_dropout", "freeze_batch_norm",
    "ema_decay", "checkpoint_every_steps", "precision", "device", "compiled",
)  # fmt: skip


class PretrainConfig(Parameters, block="pretrain"):
    """Projections over locked encoders, then, if asked, the encoders themselves."""

    embed_dim: int = Field(512, ge=8, le=4096, description="Width of the shared space.")
    projections: Annotated[str, choices(*PROJECTIONS)] = Field(
        "linear",
        description="`linear`, the 2022 `notebook`'s residual head with layer norm, or `none` for "
        "an open_clip pair, which has a shared space of its own.",
    )
    epochs: int = Field(
        30, ge=0, le=10_000, description="Epochs over locked encoders; 0 begins with the encoders."
    )
    batch_size: int = Field(1024, ge=2, le=65_536, description="Images a step.")
    captions_per_image: int = Field(5, ge=1, le=100, description="Captions drawn for each image.")
    loss: Annotated[str, choices(*LOSSES)] = Field(
        "info_nce",
        description="`info_nce` and `siglip` (all captions of an image are positives), or "
        "`soft_targets` (the 2022 notebook's).",
    )
    peak_lr: float = Field(2e-3, ge=1e-7, le=1, description="After warm-up; cosine to 0.")
    warmup_share: float = Field(0.1, ge=0, le=0.9, description="Share of the steps of warm-up.")
    weight_decay: float = Field(0.1, ge=0, le=10, description="AdamW's.")
    random_views: bool = Field(
        False, description="Over locked encoders each step draws one of `embed.views` per image."
    )
    feature_dropout: float = Field(0.1, ge=0, le=0.9, description="Share of features zeroed.")
    feature_noise: float = Field(0.0, ge=0, le=10, description="Std of noise on the features.")
    initial_temperature: float = Field(0.07, ge=0.01, le=1, description="1 / initial logit scale.")
    checkpoint_every_epochs: int = Field(5, ge=1, le=10_000, description="Over locked encoders.")
    checkpoint_every_steps: int = Field(50, ge=1, le=1_000_000, description="Over unlocked ones.")
    evaluate_every_epochs: int = Field(
        1, ge=1, le=10_000, description="Validation recall is measured after so many epochs."
    )
    keep: Annotated[str, choices("last", "best")] = Field(
        "last", description="Weights of the last epoch, or of the best validation R@5."
    )
    patience_epochs: int = Field(
        0, ge=0, le=10_000, description="Early stopping on validation R@5; 0 never stops."
    )
    seed: Seed = Field(0, description="Of initialisation, order and noise.")
    unlocked_image_blocks: int = Field(
        0, ge=-1, le=1000, description="Last image encoder stages to train; -1 trains all, 0 none."
    )
    unlocked_text_blocks: int = Field(
        0, ge=-1, le=1000, description="Last text encoder layers to train; -1 trains all, 0 none."
    )
    encoder_epochs: int = Field(2, ge=1, le=10_000, description="Epochs over unlocked encoders.")
    encoder_peak_lr: float = Field(1e-4, ge=1e-7, le=1, description="Learning rate of them.")
    encoder_batch_size: int = Field(128, ge=2, le=65_536, description="Images a step of them.")
    encoder_accumulation: int = Field(
        1,
        ge=1,
        le=65_536,
        description="Chunks a step is computed in (gradient caching): the loss and gradients are "
        "those of the whole batch.",
    )
    encoder_dropout: bool = Field(True, description="Whether dropout in unlocked blocks is on.")
    freeze_batch_norm: bool = Field(
        False, description="Unlocked batch norms keep their running statistics."
    )
    ema_decay: float = Field(
        0.0, ge=0, le=0.99999, description="EMA decay; the EMA weights are saved; 0 for none."
    )
    precision: Annotated[str, choices("auto", "fp32", "bf16", "fp16")] = Field(
        "auto", description="`auto`: bf16 on a CUDA device that has it, fp16 on another, else fp32."
    )
    device: Annotated[str, choices("auto", "cpu", "cuda")] = Field("auto", description="Device.")
    compiled: Annotated[str, choices("auto", "on", "off")] = Field(
        "auto", description="torch.compile of the unlocked encoders; `auto` does on CUDA."
    )

    def check(self) -> None:
        """Raises: ValueError: fields that contradict each other."""
        if self.epochs == 0 and not self.unlocks and self.projections != "none":
            raise ValueError("wanted epochs of at least 1 where no encoder is unlocked")
        if self.epochs == 0 and self.random_views:
            raise ValueError("wanted random_views=false with epochs=0")
        if self.epochs > 0 and self.projections == "none":
            raise ValueError("wanted epochs=0 with projections=none: nothing is learned there")

    @property
    def unlocks(self) -> bool:
        """Whether any part of an encoder is trained."""
        return self.unlocked_image_blocks != 0 or self.unlocked_text_blocks != 0

    def locked_part(self) -> dict[str, Any]:
        """What training over locked encoders depends on, for its fingerprint.

        It is as if the block had no other fields, so that what was learned over locked encoders
        serves every way of unlocking them.
        """
        return self.model_dump(exclude=set(_UNLOCKED))
