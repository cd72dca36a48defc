"""Parameters of the `zero_shot` pipeline; the prompts themselves are the class bank's."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import as_tuple, require_choice, require_number

PROMPTS = ("names", "sentences", "both")


@dataclass(frozen=True)
class ZeroShotConfig:
    """How prompts become one anchor a class.

    Attributes:
        prompts: `names` (every name in every template), `sentences` (descriptions), or `both`,
            each kind averaged first, then the two.
        names_weights: how much the image tower's own 1,000 class names may count beside the CLIP
            cosines; chosen on the captioned corpus's validation part.
        hubness_shares: shares of a class's draw on unrelated photographs that may be taken away;
            chosen there too.
        bootstrap_resamples: of the interval over photographs.
        seed: of the bootstrap.
    """

    prompts: str = "both"
    names_weights: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    hubness_shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    bootstrap_resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        require_choice(self.prompts, "zero_shot.prompts", PROMPTS)
        for name in ("names_weights", "hubness_shares"):
            values = as_tuple(getattr(self, name), f"zero_shot.{name}", float)
            object.__setattr__(self, name, tuple(sorted(values)))
            for value in values:
                require_number(value, f"zero_shot.{name}", 0.0, 10.0)
        require_number(
            self.bootstrap_resamples, "zero_shot.bootstrap_resamples", 100, 100_000, integer=True
        )
        require_number(self.seed, "zero_shot.seed", 0, 2**31 - 1, integer=True)
