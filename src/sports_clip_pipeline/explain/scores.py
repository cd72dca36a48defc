"""What a map explains: one score of a network, or the difference of two."""

from __future__ import annotations

import torch

from sports_clip_pipeline.explain.library_maps import unexplainable

Target = int | tuple[int, int]
"""A score, or the difference of two: what speaks for the first against the second."""


def pick_score(
    scores: torch.Tensor, target: Target, image: str, needs_gradient: bool = True
) -> torch.Tensor:
    """One score of a (C,) vector, or a difference of two, checked that it can be explained.

    Raises: ValueError: no such score. UserFacingError: not finite, or no layer reaches it.
    """
    wanted = (target,) if isinstance(target, int) else target
    for place in wanted:
        if not 0 <= place < len(scores):
            raise ValueError(f"target {place} is outside the module's {len(scores)} scores")
        if not torch.isfinite(scores[place]):
            raise unexplainable(image, f"score {place} is {scores[place].item()}")
    score = scores[wanted[0]] if len(wanted) == 1 else scores[wanted[0]] - scores[wanted[1]]
    if needs_gradient and not score.requires_grad:
        raise unexplainable(image, f"no gradient of score {target} reaches the chosen layer")
    return score
