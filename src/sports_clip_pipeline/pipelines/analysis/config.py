"""Parameter block `analysis`: calibration bins, label issues, active learning."""

from pydantic import Field

from sports_clip_pipeline.parameters import Fractions, Parameters, Seed, Share


class AnalysisConfig(Parameters, block="analysis"):
    """What is computed of the study beyond its learning curves."""

    accuracies: Fractions = Field(
        (0.6, 0.7, 0.75, 0.8, 0.85, 0.895), description="How many labels does each need?"
    )
    queried_images: int = Field(50, ge=1, le=100_000, description="Images proposed to label next.")
    queried_at_fraction: Share = Field(
        0.1, description="Label fraction at which they are proposed (the nearest of the plan)."
    )
    label_issues: int = Field(60, ge=1, le=100_000, description="Likely label issues, at most.")
    confused_pairs: int = Field(15, ge=1, le=10_000, description="Pairs of classes, at most.")
    calibration_bins: int = Field(15, ge=2, le=100, description="Bins of ECE and reliability.")
    resamples: int = Field(1000, ge=100, le=100_000, description="Bootstrap resamples.")
    seed: Seed = Field(0, description="Of everything random.")
