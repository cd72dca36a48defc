"""Parameters of the `embed` pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import as_tuple, require, require_choice, require_number
from sports_clip_pipeline.config.tower_names import is_pair, require_image_tower, require_text_tower

VIEWS = ("full", "centre", "full_flip", "centre_flip")
BACKENDS = ("auto", "torch", "torch_channels_last", "onnxruntime", "torch_cuda")


@dataclass(frozen=True)
class EmbedConfig:
    """Which towers make features, from which view, and how fast.

    Attributes:
        image_tower: the first image tower, and the one joined to the text tower; a packaged one, or
            `timm/<architecture>` (see `config/tower_names.py`).
        text_tower: a packaged one, or `hf/<model>`; the same as `tokenize.text_tower`.
        companions: further image towers, for the labelled corpus alone; kept in the order of
            their names. They see the same size and views.
        image_size: side of the square the image towers see, pixels.
        views: features are averaged over these: `full` squashes the whole photograph into the
            square, `centre` cuts the middle; `…_flip` mirrors. Maps are drawn for the first.
        backend: what runs the towers; `auto` tries all and takes the fastest that agrees with
            eager torch.
        workers: processes; 0 means one for each core.
        batch_size: images or captions a forward pass.
    """

    image_tower: str = "lite2"
    text_tower: str = "minilm"
    companions: tuple[str, ...] = ()
    image_size: int = 224
    views: tuple[str, ...] = ("full",)
    backend: str = "auto"
    workers: int = 0
    batch_size: int = 32

    def __post_init__(self) -> None:
        require_image_tower(self.image_tower, "embed.image_tower")
        require_text_tower(self.text_tower, "embed.text_tower")
        if is_pair(self.image_tower) or is_pair(self.text_tower):
            same = self.image_tower == self.text_tower
            require(same, "embed.text_tower", f"the pair {self.image_tower}", self.text_tower)
        self._check_companions()
        require_number(self.image_size, "embed.image_size", 64, 512, integer=True)
        if not is_pair(self.image_tower):  # which demands a size of its own
            even = self.image_size % 32 == 0
            require(even, "embed.image_size", "a multiple of 32", self.image_size)
        object.__setattr__(self, "views", as_tuple(self.views, "embed.views", str))
        require(len(set(self.views)) == len(self.views), "embed.views", "none twice", self.views)
        for view in self.views:
            require_choice(view, "embed.views", VIEWS)
        require_choice(self.backend, "embed.backend", BACKENDS)
        require_number(self.workers, "embed.workers", 0, 64, integer=True)
        require_number(self.batch_size, "embed.batch_size", 1, 1024, integer=True)

    def _check_companions(self) -> None:
        given = as_tuple(self.companions, "embed.companions", str) if self.companions else ()
        for tower in given:
            require_image_tower(tower, "embed.companions")
        require(len(set(given)) == len(given), "embed.companions", "none twice", given)
        others = "towers other than embed.image_tower"
        require(self.image_tower not in given, "embed.companions", others, self.image_tower)
        object.__setattr__(self, "companions", tuple(sorted(given)))
