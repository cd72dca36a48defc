"""The last blocks of the tower and the zero-shot head; what comes before stays as it was.

Source: Yosinski et al. 2014 (How transferable are features), section 4; Lee et al. 2023 (Surgical
fine-tuning), section 2.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.pixels.classifier import PixelClassifier, TextHead
from sports_clip_pipeline.training.pixels.methods.interface import PixelMethod, Start


def build(start: Start, config: EndToEndConfig, seed: int) -> PixelClassifier:
    """Zero-shot start of which the last blocks, what follows them, and the head train."""
    tower = start.zero_shot()
    freeze_all_but_last(tower, config.last_blocks)
    return PixelClassifier(tower, TextHead(start.anchors))


def freeze_all_but_last(tower: Any, count: int) -> None:
    """Leave a gradient to the last `count` of the tower's blocks and to the layers after them.

    Raises: UserFacingError: the tower has fewer blocks.
    """
    blocks = list(tower.blocks)
    if count > len(blocks):
        what = f"wanted {count} of the tower's {len(blocks)} blocks"
        raise UserFacingError("parameter pixels.last_blocks", what, f"use 1 to {len(blocks)}")
    for parameter in tower.parameters():
        parameter.requires_grad_(False)
    children = dict(tower.named_children())
    after = list(children)[list(children).index("blocks") + 1 :]
    trained: list[nn.Module] = [*blocks[-count:], *(children[name] for name in after)]
    for module in trained:
        for parameter in module.parameters():
            parameter.requires_grad_(True)


METHOD = PixelMethod(build, settings=("last_blocks",))
