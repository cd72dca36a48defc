"""Parameter block `end_to_end`: trials that train the image encoder."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from sports_clip_pipeline.parameters import (
    Floats,
    Fractions,
    Names,
    Parameters,
    between,
    choices,
)

END_TO_END_METHODS = ("full_random", "full_imagenet", "last_blocks", "lora", "flyp", "wise_ft")
END_TO_END_ENSEMBLE = "end_to_end_ensemble"
"""Joins each end-to-end trial to the frozen plan's stacked ensemble; trains nothing itself."""
END_TO_END_VIEWS = ("full", "full_flip")


class EndToEndConfig(Parameters):
    """Trials that train the image encoder end to end: fractions x seeds x methods."""

    block: ClassVar[str] = "end_to_end"

    methods: Annotated[Names, choices(*END_TO_END_METHODS)] = Field(
        ("full_random", "full_imagenet", "last_blocks", "flyp", "wise_ft"),
        description="Which to train; lora needs an encoder with attention.",
    )
    fractions: Fractions = Field((0.01, 0.1, 1.0), description="Label fractions.")
    seeds: int = Field(1, ge=1, le=5, description="Subsets a fraction; at 1.0 there is one.")
    image_size: int = Field(160, ge=32, le=1024, description="Training crop, pixels.")
    test_size: int = Field(
        192, ge=32, le=1024, description="Test size, and that of decoded images."
    )
    views: Annotated[Names, choices(*END_TO_END_VIEWS)] = Field(
        END_TO_END_VIEWS, description="Test-time augmentation: features are means over these."
    )
    batch_size: int = Field(64, ge=2, le=4096, description="Images a step.")
    epochs: int = Field(8, ge=1, le=1000, description="Passes over the labelled images.")
    min_steps: int = Field(100, ge=1, le=1_000_000, description="But no fewer steps than this.")
    peak_lr: float = Field(5e-4, ge=1e-7, le=1, description="AdamW, from pretrained weights.")
    random_lr: float = Field(2e-3, ge=1e-7, le=1, description="From random weights.")
    lora_lr: float = Field(1e-3, ge=1e-7, le=1, description="Of low-rank updates.")
    head_lr_factor: float = Field(
        4.0, ge=1e-3, le=1e3, description="Learning rate of a zero-initialised head over encoder's."
    )
    weight_decay: float = Field(0.05, ge=0, le=10, description="Not of biases and norms.")
    warmup_share: float = Field(0.1, ge=0, le=0.9, description="Share of the steps of warm-up.")
    label_smoothing: float = Field(0.1, ge=0, le=0.9, description="Of the cross-entropy.")
    crop_area: float = Field(
        0.35, ge=0.01, le=1, description="RandomResizedCrop's scale is (crop_area, 1)."
    )
    ema_decay: float = Field(
        0.99, ge=0, le=0.99999, description="EMA decay; the EMA weights are saved."
    )
    freeze_batch_norm_below: int = Field(
        2000, ge=0, description="Labelled images under which batch norms keep their statistics."
    )
    last_blocks: int = Field(2, ge=1, le=100, description="Blocks that `last_blocks` trains.")
    lora_rank: int = Field(4, ge=1, le=1024, description="Rank of the updates.")
    lora_alpha: float = Field(8.0, ge=1e-3, le=1e4, description="Their scale is alpha / rank.")
    wise_alphas: Annotated[Floats, between(0.0, 1.0)] = Field(
        (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        description="WiSE-FT: weights of the fine-tuned model to choose from.",
    )
    held_out_share: float = Field(
        0.1, ge=0.01, le=0.5, description="Of each class's labels, for temperature and choices."
    )
    refit_below: int = Field(
        2000, ge=0, description="Labels under which the trial is refitted on held-out ones too."
    )
    checkpoint_every_steps: int = Field(50, ge=1, le=1_000_000, description="Steps.")
    threads: int = Field(0, ge=0, le=1024, description="Of torch; 0 means one a core.")

    def check(self) -> None:
        """Raises: ValueError: fields that contradict each other."""
        if self.test_size < self.image_size:
            raise ValueError(f"wanted test_size of at least image_size ({self.image_size})")

    def seeds_for(self, fraction: float) -> range:
        """The seeds of the subsets drawn at a fraction."""
        return range(1 if fraction >= 1.0 else self.seeds)
