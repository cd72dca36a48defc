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
    "nearest_mean": MethodSpec("nearest_mean", "towers"),
    "nearest_mean_clip": MethodSpec("nearest_mean", "clip"),
    "ridge": MethodSpec("ridge", "towers", ("ridge_",)),
    "ridge_clip": MethodSpec("ridge", "clip", ("ridge_",)),
    "gda": MethodSpec("gda", "towers", ("gda_",)),
    "gda_clip": MethodSpec("gda", "clip", ("gda_",)),
    "gda_blend": MethodSpec("gda_blend", "towers", ("gda_",)),
    "tip_adapter": MethodSpec("tip_adapter", "towers", ("tip_keys", "tip_sharpness")),
    "tip_adapter_clip": MethodSpec("tip_adapter", "clip", ("tip_keys", "tip_sharpness")),
    "tip_adapter_f": MethodSpec("tip_adapter_f", "towers", ("tip_",)),
    "tip_adapter_f_clip": MethodSpec("tip_adapter_f", "clip", ("tip_",)),
    "lp_plus_plus": MethodSpec("lp_plus_plus", "towers", ("lp_",)),
    "lp_plus_plus_clip": MethodSpec("lp_plus_plus", "clip", ("lp_",)),
    "clap": MethodSpec("clap", "clip"),
    "prolip": MethodSpec("prolip", "tower"),
    "ridge_blend": MethodSpec("ridge_blend", "towers", ("ridge_",)),
    "logreg_blend": MethodSpec("logreg_blend", "towers", ("blend_",)),
    "committee": MethodSpec("committee", "towers", ("blend_", "ridge_")),
    "gda_em": MethodSpec("gda_em", "towers", ("blend_", "em_"), unlabelled=True),
    "self_training": MethodSpec(
        "self_training", "towers", ("blend_", "em_", "student_"), unlabelled=True
    ),
    "label_propagation": MethodSpec(
        "label_propagation",
        "towers",
        ("blend_", "em_width", "student_", "spread_"),
        unlabelled=True,
    ),
    "pseudo_labels": MethodSpec(
        "pseudo_labels", "towers", ("em_width", "student_steps", "pseudo_"), unlabelled=True
    ),
}
