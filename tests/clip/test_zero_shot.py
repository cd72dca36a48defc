import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from sports_clip_pipeline.clip import zero_shot
from sports_clip_pipeline.clip.projections import Projections, unit_norm
from sports_clip_pipeline.clip.zero_shot import (
    GENERAL_TEMPLATES,
    OpenVocabulary,
    ZeroShotScores,
    build_zero_shot_classifier,
    conse_of,
    conse_operations,
    hubness,
    prompt_texts,
)
from sports_clip_pipeline.data.captions import Tokens
from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.pipelines.embed.config import TokenizeConfig
from sports_clip_pipeline.predictor.head import Head, Operation, softmax

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


def fake_text_encoder(
    monkeypatch: pytest.MonkeyPatch, features: Mapping[str, Sequence[float]]
) -> None:
    """Replace the text encoder by a table of `features`; the token of a text is its row."""
    rows = {text: row for row, text in enumerate(features)}
    table = np.array(list(features.values()), np.float32)

    def tokenizer(text_encoder: str, context_length: int):
        def tokens(texts: Sequence[str]) -> Tokens:
            ids = [np.array([rows[text]], np.int32) for text in texts]
            return Tokens(ids, np.zeros(len(texts), bool))

        return tokens

    def backend(program: object, name: str, threads: int):
        return lambda ids, mask: (table[ids[:, 0]],)

    monkeypatch.setattr(zero_shot, "caption_tokenizer", tokenizer)
    monkeypatch.setattr(zero_shot, "build_backend", backend)


def classifier(bank: ClassBank, prompts: str, projections: Projections = PLAIN) -> np.ndarray:
    encode = zero_shot.text_features("minilm", TokenizeConfig())
    features = zero_shot.encode_prompts(bank, encode)
    return build_zero_shot_classifier(bank, prompts, features, projections.text_embeddings)


def at_angle(degrees: float) -> list[float]:
    """The unit vector at this angle."""
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


@pytest.mark.parametrize(
    ("prompts", "of_go"),
    [
        # Names point to 0° and 90°, whatever their lengths: their mean points to 45°.
        ("names", at_angle(45.0)),
        ("sentences", at_angle(0.0)),
        # Halfway between the kinds, 45° and 0°; the mean of all three prompts would be at 26.6°.
        ("both", at_angle(22.5)),
    ],
)
def test_prompts_of_a_kind_have_equal_weights_and_so_have_the_kinds(
    prompts: str, of_go: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_text_encoder(monkeypatch, FEATURES)
    found = classifier(BANK, prompts)
    np.testing.assert_allclose(found[0], of_go, atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("prompts", ["names", "sentences", "both"])
def test_a_class_without_sentences_uses_its_names(
    prompts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_text_encoder(monkeypatch, FEATURES)
    np.testing.assert_allclose(classifier(BANK, prompts)[1], at_angle(-90.0), atol=1e-6)


def test_weights_are_in_the_order_of_the_bank_over_several_batches_of_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    angles = {f"game {i}": at_angle(1.7 * i) for i in range(150)}
    classes = [{"label": f"c{i}", "names": str(i)} for i in range(150)]
    fake_text_encoder(monkeypatch, angles)
    found = classifier(ClassBank(templates=("game {}",), classes=classes), "both")
    np.testing.assert_allclose(found, list(angles.values()), atol=1e-6)


def test_texts_are_projected_before_they_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_text_encoder(monkeypatch, FEATURES)
    turned = Projections(
        image_weight=PLAIN.image_weight,
        image_bias=PLAIN.image_bias,
        text_weight=np.array([[0.0, -1.0], [4.0, 0.0]], np.float32),  # a quarter turn, stretched
        logit_scale=0.0,
    )
    found = classifier(BANK, "names", turned)
    np.testing.assert_allclose(found, [at_angle(135.0), at_angle(0.0)], atol=1e-6)


RNG = np.random.default_rng(0)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def zero_shot_scores(widths: tuple[int, ...] = ()) -> ZeroShotScores:
    """Six features, three classes, five named ones, spaces of four and two dimensions."""
    conse = conse_operations(
        RNG.normal(size=(5, 6)).astype(np.float32),
        RNG.normal(size=5).astype(np.float32),
        unit(RNG.normal(size=(5, 2))).astype(np.float32),
    )
    weight = RNG.normal(size=(4, 6)).astype(np.float32)
    affine = Operation("affine", {"weight": weight, "bias": np.ones(4, np.float32)})
    return ZeroShotScores(
        (affine, Operation("l2_normalise")),
        unit(RNG.normal(size=(3, 4))).astype(np.float32),
        10.0,
        conse,
        unit(RNG.normal(size=(3, 2))).astype(np.float32),
        widths,
    )


def naive(
    parts: ZeroShotScores, features: np.ndarray, weight: float, bias: np.ndarray
) -> np.ndarray:
    def affine(operation: Operation, rows: np.ndarray) -> np.ndarray:
        return rows @ operation.arrays["weight"].T + operation.arrays["bias"]

    image = unit(affine(parts.embed[0], features))
    names = unit(affine(parts.conse[2], softmax(affine(parts.conse[0], features))))
    cosines = image @ parts.weights.T + weight * names @ parts.text_weights.T
    return parts.logit_scale * cosines + bias


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_the_head_adds_clip_and_conse_cosines_and_the_bias(weight: float) -> None:
    parts, features = zero_shot_scores(), RNG.normal(size=(7, 6)).astype(np.float32)
    bias = np.array([0.5, -1.0, 0.0])
    found = parts.head(weight, bias)(features)
    np.testing.assert_allclose(found, naive(parts, features, weight, bias), atol=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_of_concatenated_features_the_head_uses_the_first_encoder(weight: float) -> None:
    parts, features = zero_shot_scores((6, 3)), RNG.normal(size=(7, 6)).astype(np.float32)
    stacked = np.hstack([features, RNG.normal(size=(7, 3)).astype(np.float32)])
    alone = replace(parts, widths=()).head(weight)(features)
    np.testing.assert_array_equal(parts.head(weight)(stacked), alone)


def test_hubness_is_the_log_of_the_mean_odds() -> None:
    logits = np.log([[1.0, 4.0], [3.0, 4.0]])
    np.testing.assert_allclose(hubness(logits), np.log([2.0, 4.0]))
    np.testing.assert_allclose(hubness(logits + 1000.0), 1000.0 + np.log([2.0, 4.0]))


def test_without_hubness_all_classes_are_equally_likely_on_the_background() -> None:
    logits = RNG.normal(size=(50, 4)) + np.arange(4)
    np.testing.assert_allclose(np.exp(logits - hubness(logits)).mean(axis=0), 1.0)


def test_a_confident_image_has_the_conse_embedding_of_its_class_name() -> None:
    names = np.eye(3, dtype=np.float32)
    conse = conse_operations(100.0 * np.eye(3, dtype=np.float32), np.zeros(3, np.float32), names)
    np.testing.assert_allclose(Head(conse)(np.eye(3)[[1]]), [[0, 1, 0]], atol=1e-6)


def test_without_an_imagenet_classifier_conse_is_zero_and_adds_nothing() -> None:
    parts = replace(zero_shot_scores(), conse=())
    features = RNG.normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_array_equal(parts.conse_embeddings(features), np.zeros((5, 2)))
    np.testing.assert_array_equal(parts.head(0.3)(features), parts.head(0.0)(features))


@pytest.mark.parametrize("widths", [(), (6, 3)])
def test_conse_is_recovered_from_a_head(widths: tuple[int, ...]) -> None:
    parts = zero_shot_scores(widths)
    found, expected = (Head(o).to_arrays() for o in (conse_of(parts.head(0.3)), parts.conse))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_a_head_without_conse_has_none_to_recover() -> None:
    assert conse_of(zero_shot_scores((6, 3)).head(0.0)) == ()
    assert conse_of(replace(zero_shot_scores(), conse=()).head(0.3)) == ()


VOCABULARY_RNG = np.random.default_rng(0)
VOCABULARY_BANK = ClassBank(
    templates=("Players during {}.",),
    classes=[
        {"label": "ice_hockey", "names": ("ice hockey", "a hockey game"), "sentences": "A puck."},
        {"label": "chess", "names": "chess"},
    ],
)
PROJECTIONS = Projections(
    image_weight=VOCABULARY_RNG.normal(size=(3, 5)).astype(np.float32),
    image_bias=VOCABULARY_RNG.normal(size=3).astype(np.float32),
    text_weight=VOCABULARY_RNG.normal(size=(3, 4)).astype(np.float32),
    logit_scale=math.log(20.0),
)
CONSE = conse_operations(
    VOCABULARY_RNG.normal(size=(6, 5)).astype(np.float32),
    VOCABULARY_RNG.normal(size=6).astype(np.float32),
    unit_norm(VOCABULARY_RNG.normal(size=(6, 4))).astype(np.float32),
)
BACKGROUND = VOCABULARY_RNG.normal(size=(30, 5)).astype(np.float32)
IMAGES = VOCABULARY_RNG.normal(size=(7, 5)).astype(np.float32)


class TextEncoder:
    """Texts to (M, 4) features that depend on the text alone; records them."""

    def __init__(self, seed: int) -> None:
        self.seed, self.texts = seed, []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        rows = [np.random.default_rng([self.seed, *text.encode()]).normal(size=4) for text in texts]
        return np.stack(rows).astype(np.float32)


def vocabulary(weight: float = 0.3, share: float = 0.5, trained: bool = True) -> OpenVocabulary:
    encode = TextEncoder(1)
    plain = TextEncoder(2) if trained else encode
    conse = CONSE if weight else ()
    return OpenVocabulary(
        VOCABULARY_BANK, "both", encode, plain, PROJECTIONS, conse, weight, share, BACKGROUND
    )


@pytest.mark.parametrize("weight", [0.0, 0.3])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_for_the_banks_labels_the_head_equals_the_study_s(weight: float, share: float) -> None:
    texts = prompt_texts(VOCABULARY_BANK)
    features, plain = (dict(zip(texts, TextEncoder(n)(texts), strict=True)) for n in (1, 2))
    parts = ZeroShotScores(
        embed=(*PROJECTIONS.image_operations(), Operation("l2_normalise")),
        weights=build_zero_shot_classifier(
            VOCABULARY_BANK, "both", features, PROJECTIONS.text_embeddings
        ),
        logit_scale=20.0,
        conse=CONSE if weight else (),
        text_weights=build_zero_shot_classifier(VOCABULARY_BANK, "both", plain, unit_norm),
    )
    expected = parts.head(weight, -share * hubness(parts.head(weight)(BACKGROUND)))
    found = vocabulary(weight, share).head(("Ice  Hockey", "chess"))
    np.testing.assert_allclose(found(IMAGES), expected(IMAGES), rtol=1e-4, atol=1e-4)


def test_names_match_labels_and_names_in_any_case() -> None:
    names = vocabulary()
    for typed in ("ice_hockey", "ICE hockey", " a  Hockey game "):
        assert names.bank_of(typed).classes == VOCABULARY_BANK.classes[:1]
        assert names.bank_of(typed).templates == VOCABULARY_BANK.templates
    other = names.bank_of("hockey {x}")
    assert other.templates == GENERAL_TEMPLATES and other.labels == ("hockey {x}",)


def test_an_unknown_name_is_put_into_general_templates() -> None:
    names = vocabulary()
    names.head(("a lake", "chess"))
    assert names.encode.texts[:2] == ["a photo of a lake.", "This picture shows a lake."]
    assert names.encode.texts == names.encode_original.texts


def test_names_are_encoded_once_and_by_one_encoder_if_it_was_not_trained() -> None:
    names = vocabulary(trained=False)
    first = names.head(("a lake", "chess"))
    texts = list(names.encode.texts)
    again = names.head(("chess", "a lake"))
    assert names.encode.texts == texts and len(texts) == len(set(texts))
    np.testing.assert_allclose(first(IMAGES), again(IMAGES)[:, ::-1], rtol=1e-5)


def test_without_hubness_all_names_are_equally_likely_on_the_background() -> None:
    logits = vocabulary(share=1.0).head(("a lake", "chess", "ice hockey"))(BACKGROUND)
    np.testing.assert_allclose(np.exp(logits).mean(axis=0), 1.0, rtol=1e-3)
    assert softmax(logits).shape == (30, 3)
