"""Parameters of the `pretrain` pipeline."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sports_clip_pipeline.config.checks import require, require_choice, require_number

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DEVICES = ("auto", "cpu", "cuda")
KEPT = ("last", "best")
STATISTICS = ("batch", "kept")
COMPILED = ("auto", "on", "off")
LOSSES = ("info_nce", "siglip", "soft_targets")
PROJECTIONS = ("linear", "notebook", "none")
_TOWERS = (
    "unlocked_image_blocks",
    "unlocked_text_blocks",
    "tower_epochs",
    "tower_peak_lr",
    "tower_batch_size",
    "tower_accumulation",
    "tower_dropout",
    "tower_statistics",
    "tower_ema_decay",
    "num_processes",
    "checkpoint_every_steps",
    "precision",
    "device",
    "compiled",
)


@dataclass(frozen=True)
class PretrainConfig:
    """Contrastive pretraining: projections over locked towers, then, if asked, the towers.

    Attributes:
        embed_dim: width of the shared space.
        projections: from features to that space; `linear`, the 2022 `notebook`'s two layers
            around a residual with a layer norm, or `none` for a pair of open_clip's own towers,
            which end in a space of theirs (`embed_dim` has no say then).
        epochs: passes over the training images, towers locked. 0 begins with the towers at once,
            under projections that nothing was learned for; something has to be unlocked then.
        batch_size: images a step; each brings `captions_per_image` of its captions.
        captions_per_image: captions drawn for each image of a batch, without replacement.
        loss: `info_nce` (several captions of an image are all its own), `siglip` (each pair a yes
            or no, with a learned bias), or `soft_targets` (the 2022 notebook's).
        peak_lr: learning rate after warm-up; falls to 0 along a cosine.
        warmup_share: share of all steps over which the rate rises.
        weight_decay: AdamW's.
        drawn_views: over locked towers each step sees one of the views of `embed.views` of every
            image, drawn anew, and not their mean; recall is measured on the mean all the same.
        feature_dropout: share of features zeroed while training.
        feature_noise: standard deviation of noise added to standardised features.
        initial_temperature: the logit scale starts at its inverse.
        checkpoint_every_epochs: how often the resumable state is saved over locked towers.
        checkpoint_every_steps: the same over unlocked ones; it is saved at the end of an epoch, on
            SIGTERM and on Ctrl-C as well.
        evaluate_every_epochs: recall on the validation part is measured after so many epochs, and
            after the last.
        keep: `last` keeps the weights of the last epoch, `best` those of the epoch with the highest
            validation recall (text to image, at 5).
        patience_epochs: stop when that recall has not risen for so many epochs; 0 never stops.
        seed: of initialisation, order and noise.
        unlocked_image_blocks: stages of the image tower, counted from its end, that are trained
            through pixels once the projections are learned; 0 keeps the tower locked, -1 trains
            all of it.
        unlocked_text_blocks: the same of the text tower's layers.
        tower_epochs: passes over the training images with unlocked towers.
        tower_peak_lr: learning rate after warm-up of those passes, of towers and projections.
        tower_batch_size: images a step of those passes.
        tower_accumulation: chunks that a step of those passes is computed in, one by one, for
            batches that do not fit the memory at once; the loss still sees the whole batch, and
            the gradients are those of the whole batch. Each chunk is run twice.
        tower_dropout: whether dropout inside what is unlocked is on.
        tower_statistics: batch norms of what is unlocked follow the batch (`batch`), or keep the
            statistics they came with (`kept`).
        tower_ema_decay: of the moving average of what learns in those passes, which is judged and
            kept in the place of the last step's weights; 0 takes no average.
        num_processes: processes of those passes, each with its part of every batch and, on CUDA,
            with a device of its own; the loss sees the whole batch.
        precision: of those passes; `auto` is bf16 on a CUDA device that has it, fp16 on another,
            and fp32 on the CPU.
        device: where they run; `auto` takes CUDA where there is a device.
        compiled: whether torch.compile makes the unlocked towers into kernels of their own first,
            which takes minutes and a C++ compiler; `auto` does on CUDA.
    """

    embed_dim: int = 512
    projections: str = "linear"
    epochs: int = 30
    batch_size: int = 1024
    captions_per_image: int = 5
    loss: str = "info_nce"
    peak_lr: float = 2e-3
    warmup_share: float = 0.1
    weight_decay: float = 0.1
    drawn_views: bool = False
    feature_dropout: float = 0.1
    feature_noise: float = 0.0
    initial_temperature: float = 0.07
    checkpoint_every_epochs: int = 5
    checkpoint_every_steps: int = 50
    evaluate_every_epochs: int = 1
    keep: str = "last"
    patience_epochs: int = 0
    seed: int = 0
    unlocked_image_blocks: int = 0
    unlocked_text_blocks: int = 0
    tower_epochs: int = 2
    tower_peak_lr: float = 1e-4
    tower_batch_size: int = 128
    tower_accumulation: int = 1
    tower_dropout: bool = True
    tower_statistics: str = "batch"
    tower_ema_decay: float = 0.0
    num_processes: int = 1
    precision: str = "auto"
    device: str = "auto"
    compiled: str = "auto"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("embed_dim", 8, 4096),
            ("epochs", 0, 10_000),
            ("batch_size", 2, 65_536),
            ("captions_per_image", 1, 100),
            ("checkpoint_every_epochs", 1, 10_000),
            ("checkpoint_every_steps", 1, 1_000_000),
            ("evaluate_every_epochs", 1, 10_000),
            ("patience_epochs", 0, 10_000),
            ("seed", 0, 2**31 - 1),
            ("unlocked_image_blocks", -1, 1000),
            ("unlocked_text_blocks", -1, 1000),
            ("tower_epochs", 1, 10_000),
            ("tower_batch_size", 2, 65_536),
            ("tower_accumulation", 1, 65_536),
            ("num_processes", 1, 1024),
        ):
            require_number(getattr(self, name), f"pretrain.{name}", low, high, integer=True)
        for name, low_share, high_share in (
            ("peak_lr", 1e-7, 1.0),
            ("warmup_share", 0.0, 0.9),
            ("weight_decay", 0.0, 10.0),
            ("feature_dropout", 0.0, 0.9),
            ("feature_noise", 0.0, 10.0),
            ("initial_temperature", 0.01, 1.0),
            ("tower_peak_lr", 1e-7, 1.0),
            ("tower_ema_decay", 0.0, 0.99999),
        ):
            require_number(getattr(self, name), f"pretrain.{name}", low_share, high_share)
        for name in ("tower_dropout", "drawn_views"):
            value = getattr(self, name)
            require(isinstance(value, bool), f"pretrain.{name}", "true or false", value)
        require(
            self.num_processes <= self.tower_batch_size, "pretrain.num_processes",
            f"at most one for each of the {self.tower_batch_size} images of a step",
            self.num_processes,
        )  # fmt: skip
        require_choice(self.tower_statistics, "pretrain.tower_statistics", STATISTICS)
        require_choice(self.keep, "pretrain.keep", KEPT)
        require_choice(self.loss, "pretrain.loss", LOSSES)
        require_choice(self.projections, "pretrain.projections", PROJECTIONS)
        require(
            self.epochs > 0 or self.unlocks or self.projections == "none", "pretrain.epochs",
            "at least 1 where no tower is unlocked", self.epochs,
        )  # fmt: skip
        require(
            not self.drawn_views or self.epochs > 0, "pretrain.drawn_views",
            "false where nothing is learned over locked towers (pretrain.epochs=0)",
            self.drawn_views,
        )  # fmt: skip
        require(
            self.epochs == 0 or self.projections != "none", "pretrain.epochs",
            "0 with pretrain.projections=none: nothing is learned over locked towers", self.epochs,
        )  # fmt: skip
        require_choice(self.precision, "pretrain.precision", PRECISIONS)
        require_choice(self.device, "pretrain.device", DEVICES)
        require_choice(self.compiled, "pretrain.compiled", COMPILED)

    @property
    def unlocks(self) -> bool:
        """Whether any part of a tower is trained."""
        return self.unlocked_image_blocks != 0 or self.unlocked_text_blocks != 0

    def locked_part(self) -> dict[str, Any]:
        """What the pass over locked towers depends on, for its fingerprint.

        It is as if the block had no other fields, so that what was learned over locked towers
        serves every way of unlocking them.
        """
        fields = {name: value for name, value in asdict(self).items() if name not in _TOWERS}
        return {"__class__": type(self).__name__, **fields}
