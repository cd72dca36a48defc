from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sports_clip_pipeline.training.pixels.marks import code_mark
from tests.training.pixels.making import FAST, study

from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.training.arm import Arm


def module(tmp_path: Path, text: str) -> ModuleType:
    import importlib.util

    path = tmp_path / f"m{len(list(tmp_path.iterdir()))}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_words_about_the_code_do_not_count_and_the_code_does(tmp_path: Path) -> None:
    plain = module(tmp_path, 'def f(x):\n    """Double."""\n    return 2 * x\n')
    retold = module(tmp_path, '"""New."""\n\n\ndef f(x):\n    # twice\n    return (2 * x)\n')
    other = module(tmp_path, 'def f(x):\n    """Double."""\n    return 3 * x\n')
    assert code_mark(plain) == code_mark(retold)
    assert code_mark(plain) != code_mark(other)


@pytest.mark.parametrize(
    ("method", "follows"),
    [("full_random", False), ("full_imagenet", False), ("wise_ft", True), ("flyp", True)],
)
def test_methods_without_language_do_not_depend_on_the_anchors(
    method: str, follows: bool, tmp_path: Path
) -> None:
    made = study(tmp_path, Journal())
    anchors = dataclasses.replace(made.start.anchors, logit_scale=3.0)
    other = dataclasses.replace(made, start=dataclasses.replace(made.start, anchors=anchors))
    arm = Arm(method, 1.0, 0)
    assert (made.mark(arm, FAST) != other.mark(arm, FAST)) == follows


def test_only_the_contrastive_method_depends_on_the_prompts(tmp_path: Path) -> None:
    made = study(tmp_path, Journal())
    prompts = dataclasses.replace(made.start.prompts, texts=tuple("abcdef"))
    other = dataclasses.replace(made, start=dataclasses.replace(made.start, prompts=prompts))
    for method, follows in (("wise_ft", False), ("flyp", True)):
        arm = Arm(method, 1.0, 0)
        assert (made.mark(arm, FAST) != other.mark(arm, FAST)) == follows


def test_other_labels_are_another_arm(tmp_path: Path) -> None:
    made = study(tmp_path, Journal())
    other = dataclasses.replace(made, target=np.roll(made.target, 1))
    arm = Arm("full_imagenet", 1.0, 0)
    assert made.mark(arm, FAST) != other.mark(arm, FAST)
