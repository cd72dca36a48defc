"""How sure a classifier has to be of an answer, found on labelled photographs held out from it."""

from __future__ import annotations

import numpy as np

# Of the held-out development photographs, so many keep their answer.
KEPT_SHARE = 0.95


def refusal_threshold(held_out: np.ndarray | None, kept_share: float = KEPT_SHARE) -> float | None:
    """The highest threshold under which at most 1 − kept_share of the held-out rows fall.

    A row is refused where its greatest probability is below the threshold. Neither evaluation nor
    test photographs have a say: these are the rows that the k-fold inside the labelled part held
    out, and that the temperature was fitted on.

    Args:
        held_out: (n, C) calibrated probabilities by heads that did not see the row; NaN where a row
            was never held out. None where nothing was.
    Returns: a probability, or None where no row was held out: nothing is refused then. Of the
        confidences .9, .8, .7, .6 with kept_share .75 it is .7, and .6 is refused.
    Source: Chow 1970; El-Yaniv and Wiener 2010, section 2 (coverage of a selective classifier).
    """
    if held_out is None:
        return None
    confidence = held_out.max(axis=1)  # (n,)
    confidence = np.sort(confidence[~np.isnan(confidence)].astype(np.float64))
    if len(confidence) == 0:
        return None
    # The small number keeps 20 rows and .95 from becoming 0.999…, which refuses none.
    refused = int(np.floor((1.0 - kept_share) * len(confidence) + 1e-9))
    return float(confidence[min(refused, len(confidence) - 1)])
