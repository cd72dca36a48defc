from __future__ import annotations

import numpy as np
import pytest

from sports_clip_pipeline.evaluation.zero_shot_evaluation import Seen, choose_settings

RNG = np.random.default_rng(0)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def seen(images: int, clip_noise: float, words_noise: float, seed: int = 0) -> Seen:
    """Images with two captions each; the more noise, the less a witness knows."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(images), 2)
    emb, words = unit(rng.normal(size=(images, 16))), unit(rng.normal(size=(images, 16)))
    text = unit(emb[owner] + clip_noise * rng.normal(size=(2 * images, 16)))
    text_words = unit(words[owner] + words_noise * rng.normal(size=(2 * images, 16)))
    return Seen(emb, words, text, text_words, owner)


def chosen(validation: Seen, shares: tuple[float, ...] = (0.0,)) -> dict:
    return choose_settings(validation, seen(40, 0.5, 0.5, seed=9), 10.0, (0.0, 0.5), shares)


def test_class_names_count_where_they_help_and_not_where_they_are_noise() -> None:
    assert chosen(seen(60, 0.5, 0.3))["names_weight"] == 0.5
    assert chosen(seen(60, 0.3, 100.0))["names_weight"] == 0.0


def test_all_that_was_tried_is_told() -> None:
    tried = chosen(seen(30, 0.5, 0.3), (0.0, 0.5, 1.0))["tried"]
    assert [row["names_weight"] for row in tried] == [0.0, 0.5, 0.5, 0.5, 0.5]
    assert [row["hubness_share"] for row in tried] == [0.0, 0.0, 0.0, 0.5, 1.0]
    assert all(0.0 <= row[way] <= 1.0 for row in tried for way in ("t2i", "i2t"))


def test_a_caption_that_draws_every_image_loses_its_draw() -> None:
    """Caption 0 leans towards all images alike; background images show it."""
    base = seen(60, 0.4, 100.0)
    common = np.ones(16) / 4.0
    image = unit(base.image_emb + 2.0 * common)
    text = base.text_emb.copy()
    text[::10] = unit(text[::10] + 2.0 * common)
    validation = Seen(image, base.image_words, text, base.text_words, base.owner)
    other = seen(200, 0.4, 100.0, seed=3)
    background = Seen(
        unit(other.image_emb + 2.0 * common), other.image_words, other.text_emb,
        other.text_words, other.owner,
    )  # fmt: skip
    found = choose_settings(validation, background, 10.0, (0.0,), (0.0, 0.5, 1.0))
    assert found["hubness_share"] > 0.0


def test_the_lightest_share_within_one_standard_error_is_taken() -> None:
    found = chosen(seen(50, 0.5, 0.3), (0.0, 0.25, 0.5, 0.75, 1.0))
    rows = found["tried"][2:]
    best = max(row["i2t"] for row in rows)
    wanted = min(
        row["hubness_share"] for row in rows if row["i2t"] >= best - found["standard_error"]
    )
    assert found["hubness_share"] == wanted
    assert found["standard_error"] == pytest.approx(np.sqrt(best * (1 - best) / 50))
