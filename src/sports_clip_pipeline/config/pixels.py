"""Parameters of the pixel plan: arms of `finetune` that train through the image tower."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import as_tuple, require, require_choice, require_number

PIXEL_METHODS = ("full_random", "full_imagenet", "last_blocks", "lora", "flyp", "wise_ft")
# What joins each pixel arm to the feature plan's committee; it trains nothing of its own.
JOINED_METHOD = "pixel_committee"
PIXEL_VIEWS = ("full", "full_flip")
_WHOLE = (
    ("seeds", 1, 5),
    ("image_size", 32, 1024),
    ("test_size", 32, 1024),
    ("batch_size", 2, 4096),
    ("epochs", 1, 1000),
    ("min_steps", 1, 1_000_000),
    ("freeze_norm_below", 0, 100_000_000),
    ("last_blocks", 1, 100),
    ("lora_rank", 1, 1024),
    ("refit_below", 0, 100_000_000),
    ("checkpoint_every_steps", 1, 1_000_000),
    ("threads", 0, 1024),
)
_REAL = (
    ("peak_lr", 1e-7, 1.0),
    ("random_lr", 1e-7, 1.0),
    ("lora_lr", 1e-7, 1.0),
    ("head_lr_factor", 1e-3, 1e3),
    ("weight_decay", 0.0, 10.0),
    ("warmup_share", 0.0, 0.9),
    ("label_smoothing", 0.0, 0.9),
    ("crop_area", 0.01, 1.0),
    ("ema_decay", 0.0, 0.99999),
    ("lora_alpha", 1e-3, 1e4),
    ("held_out_share", 0.01, 0.5),
)


@dataclass(frozen=True)
class PixelsConfig:
    """Fractions × seeds × methods, each one recipe with fixed settings.

    Attributes:
        methods: which methods to train, of `PIXEL_METHODS`.
        fractions: shares of the development labels, in (0, 1].
        seeds: subsets drawn at each fraction; at 1.0 there is one.
        image_size: side of the square that is trained on, pixels.
        test_size: side of the square that is judged, and that photographs are kept at for
            cropping; at least `image_size`.
        views: a photograph's features are means over these views when it is judged.
        batch_size: photographs a step.
        epochs: passes over the labelled photographs …
        min_steps: … but no fewer steps than this.
        peak_lr: AdamW's highest rate, from pretrained weights. random_lr: from random ones.
        lora_lr: of low-rank updates. head_lr_factor: of a head that starts at zero, times the
            tower's rate.
        weight_decay: of matrices and kernels; biases and norms are not decayed.
        warmup_share: share of the steps in which the rate rises; then a cosine to zero.
        label_smoothing: share of the target spread over all classes.
        crop_area: least share of the photograph's area that a random crop keeps.
        ema_decay: of the moving average of the weights, which is what is kept.
        freeze_norm_below: labelled photographs under which batch norms keep ImageNet's statistics.
        last_blocks: how many of the tower's blocks `last_blocks` trains.
        lora_rank: of the updates. lora_alpha: their scale is alpha / rank.
        wise_alphas: weights of the fine-tuned end that `wise_ft` chooses from.
        held_out_share: of each class's labelled photographs, for the temperature and choices.
        refit_below: labelled photographs under which the arm is trained again on all of them
            after the held-out ones have served.
        checkpoint_every_steps: steps between two saved states.
        threads: of torch; 0 means one a core.
    """

    methods: tuple[str, ...] = ("full_random", "full_imagenet", "last_blocks", "flyp", "wise_ft")
    fractions: tuple[float, ...] = (0.01, 0.1, 1.0)
    seeds: int = 1
    image_size: int = 160
    test_size: int = 192
    views: tuple[str, ...] = PIXEL_VIEWS
    batch_size: int = 64
    epochs: int = 8
    min_steps: int = 100
    peak_lr: float = 5e-4
    random_lr: float = 2e-3
    lora_lr: float = 1e-3
    head_lr_factor: float = 4.0
    weight_decay: float = 0.05
    warmup_share: float = 0.1
    label_smoothing: float = 0.1
    crop_area: float = 0.35
    ema_decay: float = 0.99
    freeze_norm_below: int = 2000
    last_blocks: int = 2
    lora_rank: int = 4
    lora_alpha: float = 8.0
    wise_alphas: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    held_out_share: float = 0.1
    refit_below: int = 2000
    checkpoint_every_steps: int = 50
    threads: int = 0

    def __post_init__(self) -> None:
        for name, cast in (
            ("methods", str),
            ("fractions", float),
            ("views", str),
            ("wise_alphas", float),
        ):
            values = as_tuple(getattr(self, name), f"pixels.{name}", cast)
            require(len(set(values)) == len(values), f"pixels.{name}", "no value twice", values)
            object.__setattr__(self, name, values)
        for method in self.methods:
            require_choice(method, "pixels.methods", PIXEL_METHODS)
        for view in self.views:
            require_choice(view, "pixels.views", PIXEL_VIEWS)
        for fraction in self.fractions:
            require(0.0 < fraction <= 1.0, "pixels.fractions", "values in (0, 1]", fraction)
        for alpha in self.wise_alphas:
            require_number(alpha, "pixels.wise_alphas", 0.0, 1.0)
        for name, least, most in _WHOLE:
            require_number(getattr(self, name), f"pixels.{name}", least, most, integer=True)
        for name, low, high in _REAL:
            require_number(getattr(self, name), f"pixels.{name}", low, high)
        wanted = f"at least pixels.image_size ({self.image_size})"
        require(self.test_size >= self.image_size, "pixels.test_size", wanted, self.test_size)

    def seeds_for(self, fraction: float) -> range:
        """The seeds of the subsets drawn at a fraction."""
        return range(1 if fraction >= 1.0 else self.seeds)
