"""The `cam_eval` parameter block: how far the maps of `cam` can be trusted, and how it is found."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.cam import METHODS, method_names, require_layer
from sports_clip_pipeline.config.checks import as_tuple, require, require_choice, require_number

TARGETS = ("classifier", "prompts")
FLOORS = ("centre", "random")
"""Maps that saw neither the photograph nor the network: a blob in the middle, and noise."""
CORRELATION = "rank correlation: "
"""Measures that begin so are of the randomisation check; the level follows."""
_WHOLE = (
    ("photographs", 1, 1_000_000),
    ("seed", 0, 2**31 - 1),
    ("scorecam_photographs", 0, 1_000_000),
    ("randomised_photographs", 0, 1_000_000),
    ("steps", 1, 1000),
    ("stages", 1, 100),
    ("resamples", 100, 100_000),
    ("batch", 1, 4096),
    ("workers", 0, 64),
)


@dataclass(frozen=True)
class CamEvalConfig:
    """Parameter block `cam_eval`.

    Attributes:
        photographs: of the evaluation part, drawn with the seed; all where there are fewer.
        wrong_share: of them that the classifier got wrong, as far as there are.
        seed: of the draw, of ties, of noise and of the shuffled weights.
        targets: whose answers are explained: `classifier`, `prompts` (of the classes, by CLIP).
        methods: ways to explain, of `config.cam.METHODS`.
        scorecam_photographs: ScoreCAM is drawn on the first so many of the draw alone.
        road_shares: shares of the pixels that ROAD removes, in (0, 1).
        steps: of insertion and deletion.
        randomised_photographs: the first so many of the draw get the randomisation check.
        stages: parts in which the tower's weights are shuffled, from the top.
        correlation_limit: a method whose maps still agree with the first ones by more than this
            rank correlation, weights shuffled, fails the check.
        layer: as `cam.layer`.
        resamples: of the intervals.
        batch: images a forward pass.
        workers: processes; 0 means one for each core.
    """

    photographs: int = 200
    wrong_share: float = 0.3
    seed: int = 0
    targets: tuple[str, ...] = TARGETS
    methods: tuple[str, ...] = tuple(METHODS)
    scorecam_photographs: int = 20
    road_shares: tuple[float, ...] = (0.2, 0.5, 0.8)
    steps: int = 5
    randomised_photographs: int = 50
    stages: int = 3
    correlation_limit: float = 0.5
    layer: str = "auto"
    resamples: int = 2000
    batch: int = 32
    workers: int = 0

    def __post_init__(self) -> None:
        for name, low, high in _WHOLE:
            require_number(getattr(self, name), f"cam_eval.{name}", low, high, integer=True)
        require_number(self.wrong_share, "cam_eval.wrong_share", 0.0, 1.0)
        require_number(self.correlation_limit, "cam_eval.correlation_limit", 0.0, 1.0)
        object.__setattr__(self, "methods", method_names(self.methods, "cam_eval.methods"))
        targets = as_tuple(self.targets, "cam_eval.targets", str)
        for target in targets:
            require_choice(target, "cam_eval.targets", TARGETS)
            require(targets.count(target) == 1, "cam_eval.targets", "each once", target)
        object.__setattr__(self, "targets", targets)
        shares = as_tuple(self.road_shares, "cam_eval.road_shares", float)
        for share in shares:
            require(0.0 < share < 1.0, "cam_eval.road_shares", "values in (0, 1)", share)
        object.__setattr__(self, "road_shares", shares)
        require_layer(self.layer, "cam_eval.layer")
