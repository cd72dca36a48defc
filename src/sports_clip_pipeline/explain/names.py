"""Names of the explanation methods and of the maps they are compared with."""

GUIDED = "guided"
METHODS = {
    "gradcam": "GradCAM",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "scorecam": "ScoreCAM",
    GUIDED: "guided backpropagation",
}
"""Method by the name that configuration gives it; its display name."""
FLOORS = ("centre", "random")
"""Baseline maps that use neither image nor network: a centred Gaussian, and noise."""
CORRELATION = "rank correlation: "
"""Prefix of the measures of the randomisation check; the level follows."""
