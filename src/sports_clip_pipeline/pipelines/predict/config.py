"""Parameter block `predict`: batch prediction on images of one's own."""

from typing import Annotated

from pydantic import Field

from sports_clip_pipeline.data.formats import ImageRules
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.parameters import Parameters, choices

BACKENDS = ("auto", "onnxruntime", "torch")


class PredictConfig(Parameters, block="predict"):
    """Which images are classified, and by which backend."""

    images: str = Field(
        "",
        description="A folder, one image, or a text file with a path a line (one that reads as a "
        "number is written ./2024); empty: `--pipelines=predict` makes the submissions.",
    )
    maps: bool = Field(False, description="Draw a class activation map for each prediction.")
    backend: Annotated[str, choices(*BACKENDS)] = Field(
        "auto",
        description="`onnxruntime` runs the exported predictor, `torch` the eager one; `auto` "
        "takes the first wherever the encoders can be exported.",
    )
    workers: int = Field(0, ge=0, le=256, description="Processes; 0 means one for each core.")
    max_pixels: int = Field(
        100_000_000, ge=10_000, le=150_000_000, description="Larger images are rejected undecoded."
    )

    @property
    def image_rules(self) -> ImageRules:
        """Which images are usable."""
        return ImageRules(max_pixels=self.max_pixels)

    @property
    def processes(self) -> int:
        """Processes that read and predict."""
        return self.workers or cores()
