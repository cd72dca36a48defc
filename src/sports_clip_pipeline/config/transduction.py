"""Parameters of zero-shot classification that learns from photographs without labels."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import as_tuple, require, require_choice, require_number

TRANSDUCTIONS = ("balanced_assignment", "soft_k_means", "gda_em")


@dataclass(frozen=True)
class TransductionConfig:
    """Zero-shot answers made better by the photographs themselves; no label is seen.

    All three methods assume that the photographs are spread evenly over the classes (a uniform
    prior) unless `balance_rounds` is 0; then they assume nothing of the classes' shares.

    Attributes:
        methods: which to run, of `balanced_assignment` (zero-shot, scaled to even shares),
            `soft_k_means` (centres on the sphere) and `gda_em` (Gaussians with one covariance).
        shipped: the method whose answers are submitted where no label may be used.
        pull: factor of the zero-shot logits in every step; 1 takes them as they are.
        sharpness: factor of the Gaussians' log-likelihoods; 1 is the mixture itself.
        shrinkage: of the covariance towards its mean variance.
        confidence: photographs count by their highest probability to this power.
        pca_width: principal axes of the features; no more than there are.
        iterations: of EM, and of the centres.
        balance_rounds: of scaling the assignment to even shares.
        centre_sharpness: factor of the cosines to the centres of `soft_k_means`.
    """

    methods: tuple[str, ...] = TRANSDUCTIONS
    shipped: str = "gda_em"
    pull: float = 1.0
    sharpness: float = 1.0
    shrinkage: float = 0.2
    confidence: float = 2.0
    pca_width: int = 1024
    iterations: int = 10
    balance_rounds: int = 20
    centre_sharpness: float = 15.0

    def __post_init__(self) -> None:
        methods = as_tuple(self.methods, "transduction.methods", str)
        require(len(set(methods)) == len(methods), "transduction.methods", "no name twice", methods)
        for method in methods:
            require_choice(method, "transduction.methods", TRANSDUCTIONS)
        object.__setattr__(self, "methods", methods)
        require_choice(self.shipped, "transduction.shipped", methods)
        for name, low, high in (
            ("pull", 0.0, 1e6),
            ("sharpness", 0.0, 1e6),
            ("shrinkage", 0.0, 1.0),
            ("confidence", 0.0, 100.0),
            ("centre_sharpness", 0.0, 1e6),
        ):
            require_number(getattr(self, name), f"transduction.{name}", low, high)
        for name, low, high in (
            ("pca_width", 1, 65_536),
            ("iterations", 1, 1000),
            ("balance_rounds", 0, 1000),
        ):
            require_number(getattr(self, name), f"transduction.{name}", low, high, integer=True)
