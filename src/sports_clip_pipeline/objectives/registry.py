"""The losses by name, behind one signature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch

from sports_clip_pipeline.objectives import contrastive, siglip, soft_targets


@dataclass(frozen=True)
class Objective:
    """A loss of image and caption embeddings.

    Attributes:
        function: of image_emb (N, D) and text_emb (M, D), both unit-norm, owner (M,) int64,
            logit_scale () and, where it is biased, logit_bias (); to ().
        module: where it stands, for fingerprints.
        biased: whether it wants a bias, which is learned.
    """

    function: Callable[..., torch.Tensor]
    module: ModuleType
    biased: bool = False

    def loss(
        self,
        image_emb: torch.Tensor,
        text_emb: torch.Tensor,
        owner: torch.Tensor,
        logit_scale: torch.Tensor,
        logit_bias: torch.Tensor | None,
    ) -> torch.Tensor:
        """The loss (); a bias is passed on where it is wanted."""
        bias = (logit_bias,) if self.biased else ()
        return self.function(image_emb, text_emb, owner, logit_scale, *bias)

    def starting_bias(self, images: int) -> float | None:
        """Where the bias starts for batches of so many images; None where there is none."""
        return siglip.starting_bias(images) if self.biased else None


OBJECTIVES = {
    "info_nce": Objective(contrastive.multi_positive_info_nce, contrastive),
    "siglip": Objective(siglip.multi_positive_siglip, siglip, biased=True),
    "soft_targets": Objective(soft_targets.soft_target_loss, soft_targets),
}
