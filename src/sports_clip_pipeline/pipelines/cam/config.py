"""Parameter block `cam`: which predictions get class activation maps, and how."""

from typing import Annotated

from pydantic import AfterValidator, Field

from sports_clip_pipeline.explain import METHODS
from sports_clip_pipeline.parameters import Floats, Names, Parameters, Seed, Text, Texts, choices

TRUE, PREDICTED = "{true}", "{predicted}"


def _prompts(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if text not in (TRUE, PREDICTED) and ({"{", "}"} & set(text) or not text.strip()):
            raise ValueError(f"wanted free text, or {PREDICTED} or {TRUE} alone")
    return texts


Methods = Annotated[Names, choices(*METHODS)]


class CamConfig(Parameters, block="cam"):
    """Which predictions are explained, by which methods."""

    right: int = Field(6, ge=0, le=500, description="Correctly classified test images.")
    wrong: int = Field(6, ge=0, le=500, description="Misclassified test images.")
    confident_share: float = Field(
        0.5, gt=0, le=1, description="Of each kind, only this most confident share is drawn from."
    )
    seed: Seed = Field(0, description="Seed of the draw.")
    classes: Annotated[Texts, choices(PREDICTED, TRUE)] = Field(
        (PREDICTED, TRUE), description="Class scores to explain: `{predicted}`, `{true}`."
    )
    prompts: Annotated[Texts, AfterValidator(_prompts)] = Field(
        (PREDICTED, TRUE),
        description="Texts to explain through CLIP; `{true}` and `{predicted}` stand for the first "
        "prompt of that class, anything else is free text.",
    )
    methods: Methods = Field(("gradcam",), description=f"Of {', '.join(METHODS)}.")
    pairs: int = Field(
        3, ge=0, le=1000, description="Most confused class pairs that get contrast maps."
    )
    guided: bool = Field(True, description="Add guided backpropagation for the predicted class.")
    layer: Text = Field(
        "auto",
        description="Dotted name of the target layer within the image encoder; `auto` takes the "
        "last feature map before pooling, or a vision transformer's first norm of its last block.",
    )
    picture_px: int = Field(224, ge=32, le=1024, description="Long side of the pictures, pixels.")
    picture_quality: int = Field(80, ge=30, le=95, description="Their JPEG quality.")

    def check(self) -> None:
        """Raises: ValueError: fields that contradict each other."""
        if self.right + self.wrong == 0:
            raise ValueError("wanted at least one image: cam.right or cam.wrong above 0")


TARGETS = ("classifier", "prompts")


def _open(values: tuple[float, ...]) -> tuple[float, ...]:
    if not all(0.0 < value < 1.0 for value in values):
        raise ValueError("wanted values in (0, 1)")
    return values


class CamEvalConfig(Parameters, block="cam_eval"):
    """On how many images maps are measured, and by which faithfulness metrics."""

    images: int = Field(200, ge=1, le=1_000_000, description="Test images, drawn with the seed.")
    wrong_share: float = Field(0.3, ge=0, le=1, description="Of them misclassified, if available.")
    seed: Seed = Field(0, description="Of the draw, ties, noise and the randomised weights.")
    targets: Annotated[Names, choices(*TARGETS)] = Field(
        TARGETS, description="Whose scores are explained: `classifier`, `prompts` (through CLIP)."
    )
    methods: Methods = Field(tuple(METHODS), description=f"Of {', '.join(METHODS)}.")
    scorecam_images: int = Field(
        20, ge=0, le=1_000_000, description="ScoreCAM is drawn on the first so many images alone."
    )
    road_shares: Annotated[Floats, AfterValidator(_open)] = Field(
        (0.2, 0.5, 0.8), description="Shares of the pixels that ROAD removes."
    )
    steps: int = Field(5, ge=1, le=1000, description="Steps of insertion and deletion.")
    randomised_images: int = Field(
        50, ge=0, le=1_000_000, description="The first so many images get the randomisation check."
    )
    stages: int = Field(
        3, ge=1, le=100, description="Parts in which the weights are randomised, from the top."
    )
    correlation_limit: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A method whose maps on randomised weights correlate more than this with the "
        "original ones fails the check.",
    )
    layer: Text = Field("auto", description="As `cam.layer`.")
    resamples: int = Field(2000, ge=100, le=100_000, description="Bootstrap resamples.")
    batch: int = Field(32, ge=1, le=4096, description="Images a forward pass.")
    workers: int = Field(0, ge=0, le=64, description="Processes; 0 means one for each core.")
