import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.clip.zero_shot import ZeroShotScores
from sports_clip_pipeline.evaluation.bootstrap import Bootstrap
from sports_clip_pipeline.evaluation.zero_shot_evaluation import (
    PairEmbeddings,
    ablation_table,
    choose_zero_shot_settings,
    encode_labels,
    score_table,
    zero_shot_table,
)

LABELS = ("Chess", "Kabaddi")


def table() -> pd.DataFrame:
    manifest = pd.DataFrame({"image": ["a", "b", "c"]})
    splits = pd.DataFrame(
        {
            "image": ["c", "a", "b"],
            "split": ["test", "test", "unlabelled"],
            "label": ["Kabaddi", "Kabaddi", None],
        }
    )
    return zero_shot_table(np.log(3.0) * np.eye(2)[[0, 1, 1]], manifest, splits, LABELS)


def test_zero_shot_predictions_are_in_the_order_of_the_splits() -> None:
    found = table()
    assert found["image"].tolist() == ["c", "a", "b"]
    assert found["predicted"].tolist() == ["Kabaddi", "Chess", "Kabaddi"]
    np.testing.assert_allclose(found["probability"], 0.75, rtol=1e-6)
    np.testing.assert_allclose(found["probabilities"][1], [0.75, 0.25], rtol=1e-6)


def test_the_score_is_that_of_the_test_images_alone() -> None:
    score = score_table(table(), LABELS, Bootstrap(200))
    assert (score["images"], score["top1"]) == (2, 0.5)
    assert score["top1_ci95"] == [0.0, 1.0]


def test_a_label_outside_the_class_bank_is_named() -> None:
    assert encode_labels(pd.Series(["Kabaddi", "Chess"]), LABELS).tolist() == [1, 0]
    with pytest.raises(ValueError, match="'Curling' is not in the class bank"):
        encode_labels(pd.Series(["Chess", "Curling"]), LABELS)


def test_the_ablation_evaluates_every_variant_on_the_same_images() -> None:
    target, eye = np.array([0, 0, 1, 1]), np.eye(2, dtype=np.float32)
    scores = ZeroShotScores((), eye, 1.0, None, eye, (2,))
    weights = {"weights.names": eye, "weights.sentences": eye[[0, 0]], "weights.both": eye}
    choice = {"names_weight": 0.0, "class_bias": [9.0, 0.0], "hubness_share": 0.5}
    found = ablation_table(scores, weights, choice, eye[target], target, Bootstrap(200))
    names = ["names", "sentences", "names and sentences", "hubness corrected"]
    assert found["name"].tolist() == names
    assert found["top1"].tolist() == [1.0, 0.5, 1.0, 0.5]
    assert (found["low"] <= found["top1"]).all() and (found["top1"] <= found["high"]).all()
    assert found["macro_f1"].tolist()[:2] == pytest.approx([1.0, (2 / 3) / 2])


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def pairs(images: int, clip_noise: float, names_noise: float, seed: int = 0) -> PairEmbeddings:
    """Images with two captions each; noise makes CLIP or the ImageNet names less informative."""
    rng = np.random.default_rng(seed)
    image_index = np.repeat(np.arange(images), 2)
    emb, names = unit(rng.normal(size=(images, 16))), unit(rng.normal(size=(images, 16)))
    text = unit(emb[image_index] + clip_noise * rng.normal(size=(2 * images, 16)))
    text_names = unit(names[image_index] + names_noise * rng.normal(size=(2 * images, 16)))
    return PairEmbeddings(emb, names, text, text_names, image_index)


def chosen(validation: PairEmbeddings, shares: tuple[float, ...] = (0.0,)) -> dict:
    background = pairs(40, 0.5, 0.5, seed=9)
    return choose_zero_shot_settings(validation, background, 10.0, (0.0, 0.5), shares)


def test_imagenet_names_are_weighed_where_they_help_and_not_where_they_are_noise() -> None:
    assert chosen(pairs(60, 0.5, 0.3))["names_weight"] == 0.5
    assert chosen(pairs(60, 0.3, 100.0))["names_weight"] == 0.0


def test_all_settings_that_were_tried_are_returned() -> None:
    tried = chosen(pairs(30, 0.5, 0.3), (0.0, 0.5, 1.0))["tried"]
    assert [row["names_weight"] for row in tried] == [0.0, 0.5, 0.5, 0.5, 0.5]
    assert [row["hubness_share"] for row in tried] == [0.0, 0.0, 0.0, 0.5, 1.0]
    assert all(0.0 <= row[way] <= 1.0 for row in tried for way in ("t2i", "i2t"))


def test_hubness_is_subtracted_where_some_captions_are_near_all_images() -> None:
    hub = 2.0 * np.ones(16) / 4.0
    base, other = pairs(60, 0.4, 100.0), pairs(200, 0.4, 100.0, seed=3)
    text = base.text_emb.copy()
    text[::10] = unit(text[::10] + hub)
    validation = PairEmbeddings(
        unit(base.image_emb + hub), base.image_names, text, base.text_names, base.image_index
    )
    background = PairEmbeddings(
        unit(other.image_emb + hub), other.image_names, other.text_emb, other.text_names,
        other.image_index,
    )  # fmt: skip
    found = choose_zero_shot_settings(validation, background, 10.0, (0.0,), (0.0, 0.5, 1.0))
    assert found["hubness_share"] > 0.0


def test_the_smallest_share_within_one_standard_error_is_chosen() -> None:
    found = chosen(pairs(50, 0.5, 0.3), (0.0, 0.25, 0.5, 0.75, 1.0))
    rows = found["tried"][2:]
    best = max(row["i2t"] for row in rows)
    within = [row["hubness_share"] for row in rows if row["i2t"] >= best - found["standard_error"]]
    assert found["hubness_share"] == min(within)
    assert found["standard_error"] == pytest.approx(np.sqrt(best * (1 - best) / 50))
