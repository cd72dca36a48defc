"""The study's zero-shot classifier for any names, over towers that are small tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from sports_clip_pipeline.clip.projections import Projections, unit_norm
from sports_clip_pipeline.clip.zero_shot import (
    GENERAL_TEMPLATES,
    NamedClasses,
    OpenVocabulary,
    ZeroShotScores,
    build_zero_shot_classifier,
    hubness,
    prompt_texts,
)
from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.predictor.head import softmax

RNG = np.random.default_rng(0)
BANK = ClassBank(
    templates=("Players during {}.",),
    classes=[
        {"label": "ice_hockey", "names": ("ice hockey", "a hockey game"), "sentences": "A puck."},
        {"label": "chess", "names": "chess"},
    ],
)
PROJECTIONS = Projections(
    image_weight=RNG.normal(size=(3, 5)).astype(np.float32),
    image_bias=RNG.normal(size=3).astype(np.float32),
    text_weight=RNG.normal(size=(3, 4)).astype(np.float32),
    logit_scale=math.log(20.0),
)
NAMED = NamedClasses(
    RNG.normal(size=(6, 5)).astype(np.float32),
    RNG.normal(size=6).astype(np.float32),
    unit_norm(RNG.normal(size=(6, 4))).astype(np.float32),
)
BACKGROUND = RNG.normal(size=(30, 5)).astype(np.float32)
PHOTOGRAPHS = RNG.normal(size=(7, 5)).astype(np.float32)


class Reader:
    """Texts to (M, 4) features that depend on the text alone; remembers what it was asked."""

    def __init__(self, seed: int) -> None:
        self.seed, self.asked = seed, []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        rows = [np.random.default_rng([self.seed, *text.encode()]).normal(size=4) for text in texts]
        return np.stack(rows).astype(np.float32)


def vocabulary(weight: float = 0.3, share: float = 0.5, apart: bool = True) -> OpenVocabulary:
    read = Reader(1)
    plain = Reader(2) if apart else read
    named = NAMED if weight else None
    return OpenVocabulary(BANK, "both", read, plain, PROJECTIONS, named, weight, share, BACKGROUND)


@pytest.mark.parametrize("weight", [0.0, 0.3])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_for_the_banks_own_labels_the_head_is_the_one_that_the_study_makes(
    weight: float, share: float
) -> None:
    texts = prompt_texts(BANK)
    features, plain = (dict(zip(texts, Reader(n)(texts), strict=True)) for n in (1, 2))
    parts = ZeroShotScores(
        embed=vocabulary()._witnesses(np.zeros((2, 3)), np.zeros((2, 4))).embed,
        anchors=build_zero_shot_classifier(BANK, "both", features, PROJECTIONS.text_embeddings),
        logit_scale=20.0,
        named=NAMED if weight else None,
        prompts=build_zero_shot_classifier(BANK, "both", plain, unit_norm),
    )
    wanted = parts.head(weight, -share * hubness(parts.head(weight)(BACKGROUND)))
    found = vocabulary(weight, share).head(("Ice  Hockey", "chess"))
    np.testing.assert_allclose(found(PHOTOGRAPHS), wanted(PHOTOGRAPHS), rtol=1e-4, atol=1e-4)


def test_a_name_is_known_by_label_or_by_any_name_whatever_its_case() -> None:
    words = vocabulary()
    for typed in ("ice_hockey", "ICE hockey", " a  Hockey game "):
        assert words.bank_of(typed).classes == BANK.classes[:1]
        assert words.bank_of(typed).templates == BANK.templates
    other = words.bank_of("hockey {x}")
    assert other.templates == GENERAL_TEMPLATES and other.labels == ("hockey {x}",)


def test_an_unknown_name_is_read_in_general_templates() -> None:
    words = vocabulary()
    words.head(("a lake", "chess"))
    assert words.read.asked[:2] == ["a photo of a lake.", "This picture shows a lake."]
    assert words.read.asked == words.read_plain.asked


def test_names_are_read_once_and_by_one_tower_where_one_is_enough() -> None:
    words = vocabulary(apart=False)
    first = words.head(("a lake", "chess"))
    asked = list(words.read.asked)
    again = words.head(("chess", "a lake"))
    assert words.read.asked == asked and len(asked) == len(set(asked))
    np.testing.assert_allclose(first(PHOTOGRAPHS), again(PHOTOGRAPHS)[:, ::-1], rtol=1e-5)


def test_without_its_draw_a_name_is_as_likely_as_another_on_the_background() -> None:
    logits = vocabulary(share=1.0).head(("a lake", "chess", "ice hockey"))(BACKGROUND)
    np.testing.assert_allclose(np.exp(logits).mean(axis=0), 1.0, rtol=1e-3)
    assert softmax(logits).shape == (30, 3)
