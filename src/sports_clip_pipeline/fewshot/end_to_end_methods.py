"""End-to-end fine-tuning methods: full, last blocks, LoRA, FLYP, WiSE-FT; one small class each.

To add one, write a class and list it in `METHODS` and in `END_TO_END_METHODS`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import timm
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.encoders.image_encoders import image_encoder, load_image_encoder
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.classification import (
    Batch,
    ClassPrompts,
    ContrastiveHead,
    ImageClassifier,
    LinearHead,
    TextHead,
)

State = Mapping[str, torch.Tensor]
_ATTENTION_LAYERS = ("qkv", "proj")


@dataclass(frozen=True)
class Start:
    """Encoder weights, zero-shot weights and prompts from which fine-tuning starts.

    Attributes:
        encoder: name of the packaged image encoder.
        clip_weights: its state dict where contrastive pretraining trained it; else empty.
    """

    encoder: str
    pretrained: Pretrained
    prompts: ClassPrompts
    clip_weights: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """C."""
        return len(self.pretrained.zero_shot_weights)

    def imagenet_encoder(self) -> nn.Module:
        """The encoder with ImageNet weights."""
        return load_image_encoder(self.encoder)

    def clip_encoder(self) -> nn.Module:
        """The encoder of the CLIP model; with ImageNet weights where it was frozen."""
        encoder = self.imagenet_encoder()
        if self.clip_weights:
            weights = {name: torch.tensor(value) for name, value in self.clip_weights.items()}
            encoder.load_state_dict(weights)
        return encoder


class EndToEndMethod:
    """Interface and defaults: zero-shot start, smoothed cross-entropy, trained weights as they are.

    Attributes:
        lr: the field of the configuration with AdamW's peak learning rate.
        freeze_batch_norm: None below `freeze_batch_norm_below` labels only, else always or never.
        settings: fields of the configuration that only some methods read, and this one does.
        uses_text: whether the start depends on the class texts.
        hyperparameters: names of what tells the candidates apart.
    """

    lr: ClassVar[str] = "peak_lr"
    freeze_batch_norm: ClassVar[bool | None] = None
    settings: ClassVar[tuple[str, ...]] = ()
    uses_text: ClassVar[bool] = True
    hyperparameters: ClassVar[tuple[str, ...]] = ()

    def build(self, start: Start, config: EndToEndConfig, seed: int) -> ImageClassifier:
        """The classifier at its start; what is trained requires a gradient."""
        return ImageClassifier(start.clip_encoder(), TextHead(start.pretrained))

    def loss(self, model: ImageClassifier, batch: Batch, config: EndToEndConfig) -> torch.Tensor:
        """Cross-entropy with label smoothing (Szegedy et al. 2016, section 7)."""
        logits, smoothing = model(batch.pixels), config.label_smoothing
        return functional.cross_entropy(logits, batch.target, label_smoothing=smoothing)

    def candidates(
        self, start: State, trained: State, config: EndToEndConfig
    ) -> dict[tuple[float, ...], State]:
        """Weights to choose from on held-out labelled images, by their hyper-parameters."""
        return {(): trained}

    def finish(self, encoder: Any) -> None:
        """Turn the trained encoder into one of the packaged architecture, in place."""


class FullRandom(EndToEndMethod):
    """The whole encoder from random weights. Source: He et al. 2019 (Rethinking ImageNet)."""

    lr = "random_lr"
    freeze_batch_norm = False
    settings = ("random_lr",)
    uses_text = False

    def build(self, start: Start, config: EndToEndConfig, seed: int) -> ImageClassifier:
        """Random encoder, new linear head."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = timm.create_model(image_encoder(start.encoder).architecture)
        return ImageClassifier(encoder, LinearHead(start.pretrained))


class FullImageNet(EndToEndMethod):
    """The whole encoder from ImageNet weights with a new head: fine-tuning without language.

    Source: Kornblith et al. 2019, section 4.2; Wightman et al. 2021 (ResNet strikes back).
    """

    uses_text = False

    def build(self, start: Start, config: EndToEndConfig, seed: int) -> ImageClassifier:
        """ImageNet encoder, new linear head."""
        return ImageClassifier(start.imagenet_encoder(), LinearHead(start.pretrained))


class LastBlocks(EndToEndMethod):
    """The last blocks of the encoder and the zero-shot head; what comes before stays frozen.

    Source: Yosinski et al. 2014, section 4; Lee et al. 2023 (Surgical fine-tuning), section 2.
    """

    settings = ("last_blocks",)

    def build(self, start: Start, config: EndToEndConfig, seed: int) -> ImageClassifier:
        """Zero-shot start of which the last blocks, what follows them, and the head train.

        Raises: UserFacingError: the encoder has fewer blocks.
        """
        encoder: Any = start.clip_encoder()
        count, blocks = config.last_blocks, list(encoder.blocks)
        if count > len(blocks):
            what = f"wanted {count} of the encoder's {len(blocks)} blocks"
            raise UserFacingError(
                "parameter end_to_end.last_blocks", what, f"use 1 to {len(blocks)}"
            )
        children = list(encoder.named_children())
        after = [name for name, _ in children].index("blocks") + 1
        encoder.requires_grad_(False)
        for module in (*blocks[-count:], *(module for _, module in children[after:])):
            module.requires_grad_(True)
        return ImageClassifier(encoder, TextHead(start.pretrained))


class Flyp(EndToEndMethod):
    """FLYP (Finetune like you pretrain): contrastive loss between images and class prompts.

    The prompts' text features are fixed; both projections, the scale and the image encoder train.
    Images of one class in a batch share their prompts as positives.

    Source: Goyal et al. 2023, section 3; Yang et al. 2022 (UniCL), equation 3.
    """

    def build(self, start: Start, config: EndToEndConfig, seed: int) -> ImageClassifier:
        """The contrastive model as pretrained."""
        return ImageClassifier(
            start.clip_encoder(), ContrastiveHead(start.pretrained, start.prompts)
        )

    def loss(self, model: ImageClassifier, batch: Batch, config: EndToEndConfig) -> torch.Tensor:
        """Contrast of the images with one random prompt of each one's class."""
        member = model.head.membership.cpu().numpy() > 0  # (C, M)
        drawn = [batch.rng.choice(np.flatnonzero(member[c])) for c in batch.target.tolist()]
        rows = torch.tensor(np.array(drawn), device=batch.pixels.device)
        image_emb = model.head.embed(model.features(batch.pixels))
        text_emb = model.head.embed_prompts(rows)
        return class_contrast(image_emb, text_emb, batch.target, model.head.scale())


def class_contrast(
    image_emb: torch.Tensor, text_emb: torch.Tensor, target: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Contrastive loss in both directions, all pairs of one class being positives.

    Args:
        image_emb: (B, P) unit-norm. text_emb: (B, P) unit-norm; row b is of image b's class.
        target: (B,) int64. scale: () of the cosines.
    Returns: (). Where all classes differ it is CLIP's loss.
    """
    logits = scale * image_emb @ text_emb.T  # (B, B)
    same = (target[:, None] == target[None, :]).float()
    shares = same / same.sum(dim=1, keepdim=True)  # symmetric, as a class's rows are alike
    to_text = functional.cross_entropy(logits, shares)
    return (to_text + functional.cross_entropy(logits.T, shares)) / 2


class WiseFt(EndToEndMethod):
    """WiSE-FT: weights interpolated between the zero-shot model and its fine-tuned self.

    Held-out labelled images choose the point on the line between both ends. Batch norms keep
    ImageNet's statistics, so that both ends agree on them.

    Source: Wortsman et al. 2022 (Robust fine-tuning of zero-shot models), equation 1.
    """

    freeze_batch_norm = True
    settings = ("wise_alphas",)
    hyperparameters = ("alpha",)

    def candidates(
        self, start: State, trained: State, config: EndToEndConfig
    ) -> dict[tuple[float, ...], State]:
        """The points to choose from, by their weight of the fine-tuned end."""
        return {(alpha,): self.interpolate(start, trained, alpha) for alpha in config.wise_alphas}

    @staticmethod
    def interpolate(start: State, trained: State, alpha: float) -> dict[str, torch.Tensor]:
        """(1 - alpha) · start + alpha · trained by entry; whole numbers are the trained ones."""
        return {
            name: (1.0 - alpha) * start[name] + alpha * end
            if end.is_floating_point() and alpha < 1.0
            else end.clone()
            for name, end in trained.items()
        }


class LowRankLinear(nn.Module):
    """x Wᵀ + b + (alpha / rank) x Aᵀ Bᵀ, with W and b frozen and B zero at the start."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, seed: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        generator = torch.Generator().manual_seed(seed)
        bound = 1.0 / math.sqrt(base.in_features)
        down = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=generator)
        self.down = nn.Parameter(down)  # A (rank, In)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))  # B (Out, rank)
        self.scale = alpha / rank

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(…, In) to (…, Out)."""
        update = functional.linear(functional.linear(values, self.down), self.up)
        return self.base(values) + self.scale * update

    def merged(self) -> nn.Linear:
        """The base layer with the update added to its weight."""
        with torch.no_grad():
            self.base.weight += self.scale * self.up @ self.down
        return self.base


class Lora(EndToEndMethod):
    """LoRA: low-rank updates of the encoder's attention; its own weights stay frozen.

    Source: Hu et al. 2022, section 4.1 (scale α / r); Zanella and Ben Ayed 2024 (CLIP-LoRA), whose
    code scales by α / √r, has a dropout, and updates the text encoder too, which stays here.
    """

    lr = "lora_lr"
    freeze_batch_norm = True
    settings = ("lora_rank", "lora_alpha", "lora_lr")

    def build(self, start: Start, config: EndToEndConfig, seed: int) -> ImageClassifier:
        """Zero-shot start with updates beside `qkv` and `proj` of each attention.

        Only those and the head train.

        Raises: UserFacingError: the encoder has no attention.
        """
        encoder = start.clip_encoder().requires_grad_(False)
        modules = encoder.named_modules()
        attentions = [module for name, module in modules if name.rpartition(".")[2] == "attn"]
        layers = [(module, layer) for module in attentions for layer in _ATTENTION_LAYERS]
        if not layers:
            raise UserFacingError(
                "method lora",
                "the image encoder has no attention layers to update",
                "leave lora out of end_to_end.methods, or use an encoder with attention",
            )
        for number, (module, layer) in enumerate(layers):
            base, rank, alpha = getattr(module, layer), config.lora_rank, config.lora_alpha
            setattr(module, layer, LowRankLinear(base, rank, alpha, seed + number))
        return ImageClassifier(encoder, TextHead(start.pretrained))

    def finish(self, encoder: Any) -> None:
        """Merge every update into its layer: the encoder has its first architecture again."""
        for name, module in list(encoder.named_modules()):
            if isinstance(module, LowRankLinear):
                encoder.set_submodule(name, module.merged())


METHODS: dict[str, EndToEndMethod] = {
    "full_random": FullRandom(),
    "full_imagenet": FullImageNet(),
    "last_blocks": LastBlocks(),
    "lora": Lora(),
    "flyp": Flyp(),
    "wise_ft": WiseFt(),
}
