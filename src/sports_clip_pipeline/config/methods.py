"""The few-label methods: what each is called, where it lives and what it sees.

A new method is one module in `training/methods/` and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MethodSpec:
    """Where a method lives.

    Attributes:
        module: under `training/methods/`.
        space: what it sees: `tower` (the first image tower), `towers` (all side by side), `clip`
            (embeddings in the space shared with text).
        settings: prefixes of the fields of `FinetuneConfig` that it alone reads.
        unlabelled: whether it learns from the development photographs without labels too.
    """

    module: str
    space: str
    settings: tuple[str, ...] = ()
    unlabelled: bool = False


METHODS: Mapping[str, MethodSpec] = {
    "notebook_mlp": MethodSpec("notebook_mlp", "clip", ("mlp_",)),
    "logreg_tower": MethodSpec("logreg_tower", "tower", ("logreg_c",)),
    "logreg_towers": MethodSpec("logreg_tower", "towers", ("logreg_c",)),
    "logreg_clip": MethodSpec("logreg_tower", "clip", ("logreg_c",)),
    "logreg_clip_text_init": MethodSpec("logreg_clip_text_init", "clip", ("text_init_c",)),
}
