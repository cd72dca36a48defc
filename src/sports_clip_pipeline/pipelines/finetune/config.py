"""Parameter blocks `finetune` and `end_to_end`: trials on frozen encoders, and end to end."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from sports_clip_pipeline.parameters import (
    Floats,
    Fractions,
    Names,
    Parameters,
    Words,
    between,
    choices,
)

if TYPE_CHECKING:
    from sports_clip_pipeline.fewshot.base import Method

PLANS = ("frozen", "end_to_end")


class FinetuneConfig(Parameters, block="finetune"):
    """Few-shot trials on frozen features: label fractions x seeds x methods."""

    plan: Annotated[str, choices(*PLANS)] = Field(
        "frozen",
        description="`frozen` fits on cached features; `end_to_end` trains the image encoder.",
    )
    dry_run: bool = Field(False, description="Print how many trials, hours and bytes, and stop.")
    methods: dict[str, dict[str, Any]] = Field(
        {"notebook_mlp": {}, "logreg": {}, "logreg_clip_text_init": {}},
        description="The methods to fit, of those in fewshot/base.py, and their settings.",
    )
    select: Words = Field(
        (), description="Fit these methods only (`a+b`), listed above or not; empty for all listed."
    )
    fractions: Fractions = Field(
        (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0), description="Label fractions, nested subsets."
    )
    seeds: int = Field(5, ge=1, le=5, description="Subsets at fractions below many_labels.")
    many_labels: float = Field(0.25, ge=0, le=1, description="From here on fewer seeds suffice.")
    seeds_at_many_labels: int = Field(3, ge=1, le=5, description="Subsets there; at 1.0 one.")
    folds: int = Field(5, ge=2, le=20, description="Cross-validation folds inside the labels.")
    coverage: float = Field(
        0.95, gt=0, le=1, description="Share of held-out images that are answered (abstention)."
    )
    workers: int = Field(0, ge=0, le=64, description="Processes; 0 means one a core.")
    bootstrap_resamples: int = Field(1000, ge=100, le=100_000, description="Of the intervals.")

    @property
    def selected(self) -> tuple[str, ...]:
        """The methods to fit."""
        return self.select or tuple(self.methods)

    def method(self, name: str) -> "Method":
        """A method with its settings. Raises: ValueError: no such method, or wrong settings."""
        from sports_clip_pipeline.fewshot.base import method_class

        return method_class(name)(**self.methods.get(name, {}))

    def check(self) -> None:
        """Raises: ValueError: a method is unknown, or its settings are wrong."""
        if not self.selected:
            raise ValueError("wanted at least one method in finetune.methods")
        for name in (*self.methods, *self.select):
            try:
                self.method(name)
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(["methods", name, *map(str, problem["loc"])])
                raise ValueError(f"{where}: {problem['msg']}, got {problem['input']!r}") from error

    def seeds_for(self, fraction: float) -> range:
        """The seeds of the subsets drawn at a fraction."""
        if fraction >= 1.0:
            return range(1)
        many = fraction >= self.many_labels
        return range(min(self.seeds, self.seeds_at_many_labels) if many else self.seeds)


END_TO_END_METHODS = ("full_random", "full_imagenet", "last_blocks", "lora", "flyp", "wise_ft")
END_TO_END_ENSEMBLE = "end_to_end_ensemble"
"""Joins each end-to-end trial to the frozen plan's stacked ensemble; trains nothing itself."""
END_TO_END_VIEWS = ("full", "full_flip")


class EndToEndConfig(Parameters, block="end_to_end"):
    """Trials that train the image encoder end to end: fractions x seeds x methods."""

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
