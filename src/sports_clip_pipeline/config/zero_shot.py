"""Parameters of the `zero_shot` pipeline; the prompts themselves are the class bank's."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import require_choice, require_number

PROMPTS = ("names", "sentences", "both")


@dataclass(frozen=True)
class ZeroShotConfig:
    """How prompts become one anchor a class.

    Attributes:
        prompts: `names` (every name in every template), `sentences` (descriptions), or `both`,
            each kind averaged first, then the two.
        bootstrap_resamples: of the interval over photographs.
        seed: of the bootstrap.
    """

    prompts: str = "both"
    bootstrap_resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        require_choice(self.prompts, "zero_shot.prompts", PROMPTS)
        require_number(
            self.bootstrap_resamples, "zero_shot.bootstrap_resamples", 100, 100_000, integer=True
        )
        require_number(self.seed, "zero_shot.seed", 0, 2**31 - 1, integer=True)
