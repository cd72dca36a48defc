from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from sports_clip_pipeline.clip import zero_shot
from sports_clip_pipeline.clip.projections import Projections
from sports_clip_pipeline.data.captions import Tokens
from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.pipelines.tokenize.config import TokenizeConfig

PLAIN = Projections(
    image_weight=np.eye(2, dtype=np.float32),
    image_bias=np.zeros(2, np.float32),
    text_weight=np.eye(2, dtype=np.float32),
    logit_scale=math.log(20.0),
)
FEATURES = {
    "a game of go": (2.0, 0.0),
    "a game of weiqi": (0.0, 3.0),
    "Two people place stones.": (5.0, 0.0),
    "a game of chess": (0.0, -1.0),
}
BANK = ClassBank(
    templates=("a game of {}",),
    classes=[
        {"label": "go", "names": ("go", "weiqi"), "sentences": "Two people place stones."},
        {"label": "chess", "names": "chess"},
    ],
)


def fake_text_tower(
    monkeypatch: pytest.MonkeyPatch, features: Mapping[str, Sequence[float]]
) -> None:
    """A text tower that knows the texts of `features` by heart: a text's one token is its place."""
    places = {text: place for place, text in enumerate(features)}
    table = np.array(list(features.values()), np.float32)

    def tokenizer(text_encoder: str, context_length: int):
        def tokens(texts: Sequence[str]) -> Tokens:
            ids = [np.array([places[text]], np.int32) for text in texts]
            return Tokens(ids, np.zeros(len(texts), bool))

        return tokens

    def backend(program: object, name: str, threads: int):
        return lambda ids, mask: (table[ids[:, 0]],)

    monkeypatch.setattr(zero_shot, "caption_tokenizer", tokenizer)
    monkeypatch.setattr(zero_shot, "build_backend", backend)


def made(bank: ClassBank, prompts: str, projections: Projections = PLAIN) -> np.ndarray:
    features = zero_shot.encode_prompts(bank, "minilm", TokenizeConfig())
    return zero_shot.build_zero_shot_classifier(
        bank, prompts, features, projections.text_embeddings
    )


def at(degrees: float) -> list[float]:
    """The unit vector at this angle."""
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


@pytest.mark.parametrize(
    ("prompts", "of_go"),
    [
        # Names point to 0° and 90°, whatever their lengths: their mean points to 45°.
        ("names", at(45.0)),
        ("sentences", at(0.0)),
        # Halfway between the kinds, 45° and 0°; the mean of all three prompts would be at 26.6°.
        ("both", at(22.5)),
    ],
)
def test_prompts_of_a_kind_weigh_the_same_and_so_do_the_kinds(
    prompts: str, of_go: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_text_tower(monkeypatch, FEATURES)
    found = made(BANK, prompts)
    np.testing.assert_allclose(found[0], of_go, atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("prompts", ["names", "sentences", "both"])
def test_a_class_without_sentences_uses_its_names(
    prompts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_text_tower(monkeypatch, FEATURES)
    np.testing.assert_allclose(made(BANK, prompts)[1], at(-90.0), atol=1e-6)


def test_anchors_stand_in_the_order_of_the_bank_over_several_blocks_of_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    angles = {f"game {i}": at(1.7 * i) for i in range(150)}
    classes = [{"label": f"c{i}", "names": str(i)} for i in range(150)]
    fake_text_tower(monkeypatch, angles)
    found = made(ClassBank(templates=("game {}",), classes=classes), "both")
    np.testing.assert_allclose(found, list(angles.values()), atol=1e-6)


def test_texts_are_projected_before_they_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_text_tower(monkeypatch, FEATURES)
    turned = Projections(
        image_weight=PLAIN.image_weight,
        image_bias=PLAIN.image_bias,
        text_weight=np.array([[0.0, -1.0], [4.0, 0.0]], np.float32),  # a quarter turn, stretched
        logit_scale=0.0,
    )
    found = made(BANK, "names", turned)
    np.testing.assert_allclose(found, [at(135.0), at(0.0)], atol=1e-6)
