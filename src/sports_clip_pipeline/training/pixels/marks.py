"""What a pixel arm depends on: its photographs, its start, its settings and its code."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType
from typing import Any

import numpy as np

from sports_clip_pipeline.journal import fingerprint
from sports_clip_pipeline.models.image_towers import image_encoder
from sports_clip_pipeline.models.text_towers import text_tower_spec
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training import schedule
from sports_clip_pipeline.training.pixels import average, classifier, holdout, loop, squares
from sports_clip_pipeline.training.pixels.methods import find_pixel_method, interface
from sports_clip_pipeline.training.pixels.methods.interface import Start

# Which arms there are, and how they are kept, changes none of them.
_PLAN = {"methods", "fractions", "seeds", "checkpoint_every_steps", "threads"}
_OWN = ("random_lr", "last_blocks", "lora_rank", "lora_alpha", "lora_lr", "wise_alphas")
_SHARED_CODE = (average, classifier, holdout, loop, squares, schedule, interface)


def arm_mark(
    method: str,
    seed: int,
    addresses: list[str],
    target: np.ndarray,
    start: Start,
    preprocessing: dict[str, Any],
    config: EndToEndConfig,
) -> str:
    """The fingerprint of an arm.

    Photographs that the arm has no label of, evaluation ones among them, are no part of it.

    Args:
        addresses: of the arm's labelled photographs. target: (n,) their classes.
    """
    recipe = find_pixel_method(method)
    settings = {
        key: value
        for key, value in config.model_dump().items()
        if key not in _PLAN and (key not in _OWN or key in recipe.settings)
    }
    code = [code_mark(module) for module in (*_SHARED_CODE, inspect.getmodule(recipe.build))]
    parts = [method, seed, addresses, target, settings, code, preprocessing, start.classes]
    return fingerprint(*parts, image_encoder(start.tower).digest, _text_mark(start, method))


def _text_mark(start: Start, method: str) -> str:
    if not find_pixel_method(method).uses_text:
        return ""
    anchors, prompts = start.anchors, start.prompts
    tower = [
        part for name in sorted(start.clip_weights) for part in (name, start.clip_weights[name])
    ]
    projection = anchors.image_weight, anchors.image_bias
    mark = fingerprint(anchors.anchors, anchors.logit_scale, *projection, *tower)
    if method != "flyp":
        return mark
    reader = text_tower_spec(prompts.text_encoder).digest
    said = [list(prompts.texts), prompts.context_length, reader, prompts.reader_mark]
    return fingerprint(mark, said, prompts.owner, prompts.text_weight)


def code_mark(module: ModuleType | None) -> str:
    """A fingerprint of what a module does: comments, layout and docstrings do not count.

    An arm costs up to hours; a sentence put right should not cost it.
    """
    if module is None:
        raise ValueError("a method's build function stands in a module")
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return fingerprint(ast.dump(tree))


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
