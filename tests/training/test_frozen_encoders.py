import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sports_clip_pipeline.clip.projections import Projections
from sports_clip_pipeline.encoders.features import FeatureRows
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.pretrain.config import LOSSES, PretrainConfig
from sports_clip_pipeline.training.contrastive import (
    FROZEN_STATE,
    FrozenTask,
    pretrain_projections,
)
from sports_clip_pipeline.training.image_text_pairs import ImageTextPairs
from sports_clip_pipeline.training.trainer import Trainer

CONFIG = PretrainConfig(
    embed_dim=8,
    epochs=6,
    batch_size=10,
    captions_per_image=2,
    feature_noise=0.1,
    checkpoint_every_epochs=2,
)


PLAIN = {"feature_noise": 0.0, "feature_dropout": 0.0}


def pairs(images: int = 30, each: int = 3) -> ImageTextPairs:
    """Caption features that are a noisy linear map of their image's."""
    rng = np.random.default_rng(0)
    image = rng.normal(3.0, 1.0, (images, 16)).astype(np.float32)
    image_index = np.repeat(np.arange(images), each)
    text = image[image_index] @ rng.normal(size=(16, 12)) + rng.normal(
        0, 0.3, (len(image_index), 12)
    )
    return ImageTextPairs(FeatureRows(image), FeatureRows(text.astype(np.float32)), image_index)


def no_metrics(projections: Projections) -> dict[str, float]:
    return {}


def test_folded_projections_give_the_modules_own_embeddings() -> None:
    data = pairs()
    task = FrozenTask(data, no_metrics, CONFIG.model_copy(update=PLAIN))
    Trainer(task).run_epoch()
    with torch.no_grad():
        inputs = task.model.standardise(np.asarray(data.image), np.asarray(data.text))
        image_emb, text_emb = task.model(*inputs)
    folded = task.model.folded()
    np.testing.assert_allclose(
        folded.image_embeddings(np.asarray(data.image)), image_emb, atol=1e-5
    )
    np.testing.assert_allclose(folded.text_embeddings(np.asarray(data.text)), text_emb, atol=1e-5)
    assert folded.logit_scale == float(task.model.logit_scale.detach())


def scripted(*recalls: float):
    """Validation that returns these recalls, one per epoch, and records the projections."""
    seen: list[Projections] = []

    def evaluate(projections: Projections) -> dict[str, float]:
        seen.append(projections)
        return {"validation_t2i_r5": recalls[len(seen) - 1]}

    return evaluate, seen


def test_the_best_epoch_is_returned_with_the_whole_history() -> None:
    config = CONFIG.model_copy(update={"keep": "best"})
    evaluate, seen = scripted(0.1, 0.5, 0.3, 0.5, 0.2, 0.4)
    best, history = pretrain_projections(pairs(), evaluate, config, RunState(), "f")
    np.testing.assert_array_equal(best.image_weight, seen[1].image_weight)
    assert len(history) == 6
    last, _ = pretrain_projections(pairs(), no_metrics, CONFIG, RunState(), "f")
    np.testing.assert_array_equal(last.image_weight, seen[-1].image_weight)


def test_early_stopping_ends_training_without_improvement(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"patience_epochs": 2, "checkpoint_every_epochs": 5})
    evaluate, seen = scripted(0.1, 0.5, 0.3, 0.4)
    best, history = pretrain_projections(pairs(), evaluate, config, RunState(tmp_path), "f")
    assert len(history) == len(seen) == 4
    again, _ = pretrain_projections(pairs(), no_metrics, config, RunState(tmp_path), "f")
    np.testing.assert_array_equal(again.image_weight, best.image_weight)


def test_recall_is_evaluated_at_its_interval_and_at_the_end() -> None:
    config = CONFIG.model_copy(update={"evaluate_every_epochs": 4})
    evaluate, seen = scripted(0.1, 0.2)
    _, history = pretrain_projections(pairs(), evaluate, config, RunState(), "f")
    assert [row["epoch"] for row in history if "validation_t2i_r5" in row] == [4, 6]
    assert len(seen) == 2


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_aligns_captions_with_their_images(loss: str) -> None:
    data = pairs()
    config = CONFIG.model_copy(
        update={**PLAIN, "embed_dim": 16, "epochs": 80, "peak_lr": 0.02, "loss": loss}
    )
    projections, history = pretrain_projections(data, no_metrics, config, RunState(), "f")
    cosine = (
        projections.text_embeddings(np.asarray(data.text))
        @ projections.image_embeddings(np.asarray(data.image)).T
    )
    assert (cosine.argmax(axis=1) == data.image_index).mean() > (0.9 if loss == "info_nce" else 0.7)
    assert (projections.logit_bias is not None) == (loss == "siglip")
    assert all(math.isfinite(row["loss"]) for row in history)
    assert history[-1]["loss"] < history[0]["loss"] / 2
    assert [row["epoch"] for row in history] == list(range(1, 81))


class Killed(BaseException):
    """A kill between two epochs."""


@pytest.mark.parametrize("last", [2, 3, 5])
def test_a_killed_run_ends_with_bit_equal_weights(last: int, tmp_path: Path) -> None:
    whole, history = pretrain_projections(pairs(), no_metrics, CONFIG, RunState(), "f")
    run_state, epochs = RunState(tmp_path), []

    def interrupted(projections: Projections) -> dict[str, float]:
        epochs.append(1)
        if len(epochs) == last + 1:
            raise Killed
        return {}

    with pytest.raises(Killed):
        pretrain_projections(pairs(), interrupted, CONFIG, run_state, "f")
    assert run_state.load_state(FROZEN_STATE, "f")[1]["epoch"] == last - last % 2
    again, resumed = pretrain_projections(pairs(), no_metrics, CONFIG, run_state, "f")
    for name in ("image_weight", "image_bias", "text_weight"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    assert again.logit_scale == whole.logit_scale
    assert [row["loss"] for row in resumed] == [row["loss"] for row in history]


def test_state_of_another_fingerprint_is_not_used() -> None:
    run_state = RunState()
    pretrain_projections(pairs(), no_metrics, CONFIG, run_state, "old")
    evaluated = []
    pretrain_projections(pairs(), lambda p: evaluated.append(p) or {}, CONFIG, run_state, "new")
    assert len(evaluated) == CONFIG.epochs


def test_a_finished_run_is_loaded_without_an_epoch() -> None:
    run_state = RunState()
    whole, _ = pretrain_projections(pairs(), no_metrics, CONFIG, run_state, "f")
    evaluated = []
    again, history = pretrain_projections(
        pairs(), lambda p: evaluated.append(p) or {}, CONFIG, run_state, "f"
    )
    assert not evaluated
    assert len(history) == CONFIG.epochs
    np.testing.assert_array_equal(again.image_weight, whole.image_weight)


def test_seeds_give_other_weights_and_equal_seeds_the_same() -> None:
    first, same, other = (
        pretrain_projections(
            pairs(), no_metrics, CONFIG.model_copy(update={"seed": seed}), RunState(), "f"
        )[0].image_weight
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_the_logit_scale_is_clamped_as_in_clip() -> None:
    config = CONFIG.model_copy(update={"initial_temperature": 0.01, "epochs": 30, "peak_lr": 0.1})
    projections, _ = pretrain_projections(pairs(), no_metrics, config, RunState(), "f")
    assert 0.0 <= projections.logit_scale <= math.log(100.0) + 1e-6


def test_a_random_view_is_one_of_the_images_own() -> None:
    data = pairs()
    apart = np.stack([np.asarray(data.image) + 5.0, np.asarray(data.image) - 5.0])
    config = CONFIG.model_copy(update=PLAIN)
    task = FrozenTask(
        dataclasses.replace(data, views=tuple(map(FeatureRows, apart))), no_metrics, config
    )
    seen = torch.cat([step.inputs[0] for step in task.batches(0, 0)])
    rows = (seen * task.model.scale + task.model.mean).numpy()
    which = [int(np.abs(apart - row).sum(axis=2).argmin()) for row in rows]
    assert sorted(row % 30 for row in which) == list(range(30)), "every image once"
    assert {row // 30 for row in which} == {0, 1}
    np.testing.assert_allclose(rows, apart.reshape(60, -1)[which], atol=1e-4)


def test_batches_resumed_within_an_epoch_are_the_same() -> None:
    task = FrozenTask(pairs(), no_metrics, CONFIG)
    whole, rest = list(task.batches(1, 0)), list(task.batches(1, 2))
    assert len(whole) == len(rest) + 2
    for one, other in zip(whole[2:], rest, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.inputs, other.inputs, strict=True))
