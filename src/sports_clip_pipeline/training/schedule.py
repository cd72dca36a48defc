"""Learning-rate schedules."""

from __future__ import annotations

import math


def warmup_cosine(step: int, steps: int, peak_lr: float, warmup_share: float) -> float:
    """Linear rise to `peak_lr` over the first share of the steps, then a cosine down to 0.

    Args:
        step: 0 <= step < steps.
    Returns: the rate of this step. Of 10 steps with a share of 0.2 and a peak of 1.0, step 0 has
        0.5 and step 1 has 1.0.
    Source: Loshchilov and Hutter 2017 (SGDR), without restarts.
    """
    rising = max(1, round(steps * warmup_share)) if warmup_share > 0 else 0
    if step < rising:
        return peak_lr * (step + 1) / rising
    share = (step - rising) / max(1, steps - rising)
    return peak_lr * 0.5 * (1.0 + math.cos(math.pi * share))
