"""Parameters of `predict_images`: photographs of one's own, and how they are answered."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import require, require_choice, require_number
from sports_clip_pipeline.config.ingest import ImageRules
from sports_clip_pipeline.machine import cores

BACKENDS = ("auto", "onnxruntime", "torch")


@dataclass(frozen=True)
class PredictConfig:
    """Parameter block `predict`.

    Attributes:
        images: a folder, one photograph, or a text file with a path a line; empty asks for none,
            and `--pipelines=predict` makes the submissions.
        maps: whether to draw a class activation map for each answer.
        backend: `onnxruntime` runs the exported predictor, `torch` the eager one; `auto` takes the
            first wherever the towers can be exported.
        workers: processes; 0 means one for each core.
        max_megapixels: a larger photograph is set aside before it is decoded.
    """

    images: str = ""
    maps: bool = False
    backend: str = "auto"
    workers: int = 0
    max_megapixels: float = 100.0

    def __post_init__(self) -> None:
        wanted = "a path (one that reads as a number is written ./2024)"
        require(isinstance(self.images, str), "predict.images", wanted, self.images)
        require(isinstance(self.maps, bool), "predict.maps", "true or false", self.maps)
        require_choice(self.backend, "predict.backend", BACKENDS)
        require_number(self.workers, "predict.workers", 0, 256, integer=True)
        require_number(self.max_megapixels, "predict.max_megapixels", 0.01, 150.0)

    @property
    def image_rules(self) -> ImageRules:
        """Which photographs are usable."""
        return ImageRules(max_pixels=int(self.max_megapixels * 1_000_000))

    @property
    def processes(self) -> int:
        """Processes that read and answer."""
        return self.workers or cores()
