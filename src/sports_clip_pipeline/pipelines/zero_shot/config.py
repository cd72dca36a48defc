"""Parameter blocks `zero_shot` and `transduction`: classification without labels."""

from typing import Annotated

from pydantic import AfterValidator, Field

from sports_clip_pipeline.parameters import Floats, Names, Parameters, Seed, between, choices

PROMPTS = ("names", "sentences", "both")
TRANSDUCTIONS = ("balanced_assignment", "soft_k_means", "gda_em")
Weights = Annotated[
    Floats, between(0.0, 10.0), AfterValidator(lambda values: tuple(sorted(values)))
]


class ZeroShotConfig(Parameters, block="zero_shot"):
    """How prompts become one text classifier weight a class."""

    prompts: Annotated[str, choices(*PROMPTS)] = Field(
        "both",
        description="`names` (every name in every template), `sentences` (descriptions), or "
        "`both`, each kind averaged first, then the two.",
    )
    names_weights: Weights = Field(
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        description="Weights of the ConSE scores (the image encoder's own 1,000 ImageNet classes) "
        "beside the CLIP cosines; chosen on validation captions.",
    )
    hubness_shares: Weights = Field(
        (0.0, 0.25, 0.5, 0.75, 1.0),
        description="Shares of a class's mean score on unrelated images (hubness) to subtract; "
        "chosen on validation captions.",
    )
    bootstrap_resamples: int = Field(2000, ge=100, le=100_000, description="Of the interval.")
    seed: Seed = Field(0, description="Of the bootstrap.")


class TransductionConfig(Parameters, block="transduction"):
    """Transductive zero-shot classification with unlabelled images; no label is used.

    All methods assume a uniform class prior unless `balance_rounds` is 0.
    """

    methods: Annotated[Names, choices(*TRANSDUCTIONS)] = Field(
        TRANSDUCTIONS,
        description="`balanced_assignment` (Sinkhorn scaling to equal shares), `soft_k_means` "
        "(spherical), `gda_em` (Gaussian mixture with one covariance).",
    )
    shipped: str = Field("gda_em", description="The method that makes the zero-shot submission.")
    prior_strength: float = Field(1.0, ge=0, le=1e6, description="Factor of the zero-shot logits.")
    beta: float = Field(1.0, ge=0, le=1e6, description="Inverse temperature of the likelihoods.")
    shrinkage: float = Field(0.2, ge=0, le=1, description="Of the covariance to its mean variance.")
    confidence: float = Field(
        2.0, ge=0, le=100, description="Images are weighted by their top probability to this power."
    )
    pca_width: int = Field(1024, ge=1, le=65_536, description="Principal components at most.")
    iterations: int = Field(10, ge=1, le=1000, description="Of EM and of k-means.")
    balance_rounds: int = Field(20, ge=0, le=1000, description="Of Sinkhorn scaling.")
    k_means_beta: float = Field(15.0, ge=0, le=1e6, description="Inverse temperature of k-means.")

    def check(self) -> None:
        """Raises: ValueError: fields that contradict each other."""
        if self.shipped not in self.methods:
            raise ValueError(f"wanted shipped to be one of {', '.join(self.methods)}")
