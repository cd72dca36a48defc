"""Which image of a batch each caption describes."""

from __future__ import annotations

import torch


def check_owners(owner: torch.Tensor, text_emb: torch.Tensor) -> None:
    """Every caption has one owner. Raises: ValueError: owner is not (M,) for M captions."""
    if owner.shape != text_emb.shape[:1]:
        raise ValueError(f"owner has shape {tuple(owner.shape)} for {len(text_emb)} captions")
