"""Parameters of what is said of the study once its arms are fitted."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import as_tuple, require, require_number


@dataclass(frozen=True)
class JudgingConfig:
    """What the study is asked, beyond its curves.

    Attributes:
        accuracies: how many labels does each take? Shares in (0, 1].
        label_next: photographs proposed for labelling.
        label_next_fraction: the labels there are when they are proposed; the nearest fraction of
            the plan counts.
        mislabelled: photographs listed as likely mislabelled, at most.
        confused_pairs: pairs of classes listed, at most.
        resamples: of the intervals of labels needed and of paired differences.
        seed: of everything random in judging.
    """

    accuracies: tuple[float, ...] = (0.6, 0.7, 0.75, 0.8, 0.85, 0.895)
    label_next: int = 50
    label_next_fraction: float = 0.1
    mislabelled: int = 60
    confused_pairs: int = 15
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        accuracies = as_tuple(self.accuracies, "judging.accuracies", float)
        object.__setattr__(self, "accuracies", accuracies)
        for accuracy in accuracies:
            require(0.0 < accuracy <= 1.0, "judging.accuracies", "values in (0, 1]", accuracy)
        share = self.label_next_fraction
        require(0.0 < share <= 1.0, "judging.label_next_fraction", "a value in (0, 1]", share)
        for name, low, high in (
            ("label_next", 1, 100_000),
            ("mislabelled", 1, 100_000),
            ("confused_pairs", 1, 10_000),
            ("resamples", 100, 100_000),
            ("seed", 0, 2**31 - 1),
        ):
            require_number(getattr(self, name), f"judging.{name}", low, high, integer=True)
