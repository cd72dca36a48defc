"""Random unit-norm embeddings."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize


def embeddings(images: int, captions: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(images, 8) and (captions, 8) float64, unit-norm."""
    generator = torch.Generator().manual_seed(seed)
    image, text = (
        normalize(torch.randn(n, 8, generator=generator, dtype=torch.float64), dim=1)
        for n in (images, captions)
    )
    return image, text
