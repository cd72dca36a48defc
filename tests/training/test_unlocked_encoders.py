import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sports_clip_pipeline.clip.losses import multi_positive_info_nce
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.training.contrastive import (
    UNLOCKED_STATE,
    TrainedEncoders,
    train_encoders,
)
from sports_clip_pipeline.training.distributed import CPU, Compute
from sports_clip_pipeline.training.trainer import Trainer
from tests.training.corpus import ONE_BLOCK

LOCKED = {"unlocked_image_blocks": 0, "unlocked_text_blocks": 0}


class UnlockedTrainer(Trainer):
    """A trainer whose epochs are run one by one."""

    def loss_of_epoch(self) -> float:
        assert self.run_epoch()
        return self.history[-1]["loss"]

    def embed(self, pairs: Any) -> tuple[np.ndarray, np.ndarray]:
        return self.task.embed(pairs, self.model)


@pytest.fixture
def new_training(corpus) -> Callable[..., UnlockedTrainer]:
    def make(compute: Compute = CPU, **changes: Any) -> UnlockedTrainer:
        config = ONE_BLOCK.model_copy(update=changes)
        return UnlockedTrainer(corpus.task(config, compute=compute))

    return make


def changed(training: UnlockedTrainer, before: dict[str, torch.Tensor]) -> set[str]:
    after = training.model.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def snapshot(training: UnlockedTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in training.model.state_dict().items()}


@pytest.mark.parametrize("blocks", [(1, 0), (0, 1), (2, 2)])
def test_an_epoch_changes_what_is_unlocked_and_nothing_else(
    new_training: Callable[..., UnlockedTrainer], blocks: tuple[int, int]
) -> None:
    image, text = blocks
    training = new_training(unlocked_image_blocks=image, unlocked_text_blocks=text)
    before = snapshot(training)
    training.run_epoch()
    found = changed(training, before)
    assert found <= set(training.changing)
    missed = set(training.changing) - found
    # Keys' biases have no influence on attention: a softmax does not see what is added to all.
    assert all(name.endswith("attention.self.key.bias") for name in missed), missed
    assert any(name.startswith("visual.trunk.") for name in found) == (image > 0)
    assert any(name.startswith("text.transformer.") for name in found) == (text > 0)
    locked = [p for p in training.model.parameters() if not p.requires_grad]
    assert locked
    assert all(parameter.grad is None for parameter in locked)


def test_the_loss_falls_on_a_few_pairs(new_training: Callable[..., UnlockedTrainer]) -> None:
    training = new_training(encoder_epochs=8, encoder_batch_size=10, captions_per_image=5)
    losses = [training.loss_of_epoch() for _ in range(8)]
    assert losses[-1] < 0.7 * losses[0], losses
    image_emb, text_emb = training.embed(training.task.train)
    image_index = training.task.train.image_index
    assert ((text_emb @ image_emb.T).argmax(axis=1) == image_index).mean() > 0.5


def test_with_both_encoders_locked_the_loss_is_that_of_the_projections(
    new_training: Callable[..., UnlockedTrainer], start, corpus
) -> None:
    whole_batch = {"encoder_batch_size": 10, "captions_per_image": 5}
    training = new_training(**LOCKED, **whole_batch, encoder_peak_lr=1e-07)
    loss = training.loss_of_epoch()
    features = corpus.pairs("train")
    expected = multi_positive_info_nce(
        torch.from_numpy(start.image_embeddings(features.image)),
        torch.from_numpy(start.text_embeddings(features.text)),
        torch.from_numpy(features.image_index),
        torch.tensor(math.exp(start.logit_scale)),
    )
    assert loss == pytest.approx(float(expected), rel=1e-4)


def test_embeddings_before_training_are_the_projected_features(
    new_training: Callable[..., UnlockedTrainer], start, corpus
) -> None:
    """Pixels and tokens through the model, features through the projections: the same."""
    pairs = corpus.pairs("validation")
    image_emb, text_emb = new_training().embed(pairs)
    np.testing.assert_allclose(image_emb, start.image_embeddings(pairs.image), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(text_emb, start.text_embeddings(pairs.text), rtol=1e-3, atol=1e-4)


def test_a_step_has_its_pairs_and_an_epoch_sees_each_image_once(
    new_training: Callable[..., UnlockedTrainer],
) -> None:
    task = new_training().task
    steps = list(task.batches(0, 0))
    assert [sum(map(len, step.inputs[1])) for step in steps] == [10, 10]
    assert sorted(np.concatenate([step.inputs[0] for step in steps])) == list(range(10))
    assert task.epoch_size == 20


def test_training_does_not_change_the_global_random_state(
    new_training: Callable[..., UnlockedTrainer],
) -> None:
    training = new_training(unlocked_image_blocks=0)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    training.run_epoch()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_agrees_roughly_and_keeps_weights_in_fp32(
    new_training: Callable[..., UnlockedTrainer], precision: str
) -> None:
    # Only the image encoder learns: dropout in the text encoder draws otherwise in other types.
    changes = {"unlocked_text_blocks": 0, "encoder_peak_lr": 0.0001}
    plain, mixed = (new_training(Compute("cpu", p), **changes) for p in ("fp32", precision))
    for one, other in zip(
        plain.embed(plain.task.train), mixed.embed(mixed.task.train), strict=True
    ):
        assert other.dtype == np.float32
        assert (one * other).sum(axis=1).min() > 0.995
    assert mixed.loss_of_epoch() == pytest.approx(plain.loss_of_epoch(), rel=0.05)
    assert {p.dtype for p in mixed.model.parameters()} == {torch.float32}
    assert all(bool(p.isfinite().all()) for p in mixed.model.parameters())
    assert mixed.scaler.is_enabled() == (precision == "fp16")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_restored_state_continues_bit_equal(
    new_training: Callable[..., UnlockedTrainer], precision: str
) -> None:
    compute = Compute("cpu", precision)
    whole = new_training(compute)
    losses = [whole.loss_of_epoch() for _ in range(3)]
    broken = new_training(compute)
    broken.loss_of_epoch()
    resumed = new_training(compute)
    resumed.restore(*broken.state())
    assert [resumed.loss_of_epoch() for _ in range(2)] == losses[1:]
    assert not changed(resumed, snapshot(whole))
    assert resumed.scaler.state_dict() == whole.scaler.state_dict()


@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_epoch_resumed_after_any_step_is_bit_equal(
    new_training: Callable[..., UnlockedTrainer], accumulation: int
) -> None:
    changes = {"encoder_batch_size": 3, "encoder_accumulation": accumulation, "ema_decay": 0.9}
    whole = new_training(**changes)
    assert whole.task.steps_per_epoch == 4
    losses = [whole.loss_of_epoch(), whole.loss_of_epoch()]
    left = new_training(**changes)
    left.loss_of_epoch()
    assert not left.run_epoch(lambda loss: left.steps_done == 6)
    assert (left.epoch, left.step) == (1, 2)
    resumed = new_training(**changes)
    resumed.restore(*left.state())
    assert resumed.examples_done == left.examples_done == 30
    assert resumed.loss_of_epoch() == losses[1]
    assert not changed(resumed, snapshot(whole))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_gpu_trains_in_mixed_precision(
    new_training: Callable[..., UnlockedTrainer], precision: str
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    changes = {"encoder_epochs": 4, "unlocked_image_blocks": -1, "unlocked_text_blocks": -1}
    training, plain = new_training(Compute("cuda", precision), **changes), new_training(**changes)
    for one, other in zip(
        plain.embed(plain.task.train), training.embed(plain.task.train), strict=True
    ):
        assert (one * other).sum(axis=1).min() > 0.995
    first = training.loss_of_epoch()
    state = training.state()
    losses = [training.loss_of_epoch() for _ in range(3)]
    assert losses[-1] < first
    resumed = new_training(Compute("cuda", precision), **changes)
    resumed.restore(*state)
    assert resumed.loss_of_epoch() == pytest.approx(losses[0], rel=0.05)
    assert training.model.visual.trunk.conv_head.weight.device.type == "cuda"


class Killed(BaseException):
    """A kill between two epochs."""


@pytest.fixture
def train(corpus) -> Callable[..., TrainedEncoders]:
    def run(
        run_state: RunState, evaluate: Any = lambda *embeddings: {}, **changes: Any
    ) -> TrainedEncoders:
        task = corpus.task(ONE_BLOCK.model_copy(update=changes), evaluate, steps_before=100)
        return train_encoders(task, run_state, "f")

    return run


@pytest.mark.parametrize("last", [1, 2])
def test_a_killed_run_ends_with_bit_equal_encoders(
    train: Callable[..., TrainedEncoders], tmp_path: Path, last: int
) -> None:
    whole = train(RunState())
    evaluated: list[int] = []

    def interrupted(*embeddings: np.ndarray) -> dict[str, float]:
        evaluated.append(1)
        if len(evaluated) > last:
            raise Killed
        return {}

    with pytest.raises(Killed):
        train(RunState(tmp_path), interrupted)
    state = RunState(tmp_path).load_state(UNLOCKED_STATE, "f")
    assert state is not None
    assert state[1]["epoch"] == last
    again = train(RunState(tmp_path))
    assert again.weights.keys() == whole.weights.keys()
    assert all(n.startswith(("visual.trunk.", "text.transformer.")) for n in again.weights)
    assert again.projections.image_weight.shape == (16, 1280)
    for name, value in whole.weights.items():
        np.testing.assert_array_equal(again.weights[name], value, err_msg=name)
    for name in ("image_weight", "image_bias", "text_weight", "logit_scale"):
        np.testing.assert_array_equal(
            getattr(again.projections, name), getattr(whole.projections, name)
        )
    assert [row["loss"] for row in again.history] == [row["loss"] for row in whole.history]


def test_history_and_live_metrics_continue_from_the_frozen_epochs(
    train: Callable[..., TrainedEncoders],
) -> None:
    logged: list[tuple[dict[str, float], int | None]] = []

    class Recorder:
        def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
            logged.append((metrics, step))

        def log_trial(self, *arguments: Any) -> None:
            raise AssertionError("pretraining has no trials")

    run_state = RunState()
    run_state.attach(Recorder())
    shapes: list[tuple[int, ...]] = []

    def evaluate(image: np.ndarray, text: np.ndarray, image_index: np.ndarray) -> dict[str, float]:
        shapes.append((*image.shape, *text.shape, *image_index.shape))
        return {"validation_t2i_r1": 0.5}

    history = train(run_state, evaluate).history
    first = ONE_BLOCK.epochs + 1
    assert [row["epoch"] for row in history] == [first, first + 1, first + 2]
    assert [row["step"] for row in history] == [102, 104, 106]
    assert shapes == [(4, 16, 20, 16, 20)] * 3
    epochs = [(metrics, step) for metrics, step in logged if "pretrain/loss" in metrics]
    assert [step for _, step in epochs] == [first, first + 1, first + 2]
    expected = {"loss", "lr", "logit_scale", "validation_t2i_r1", "pairs_per_s", "step"}
    assert {name.removeprefix("pretrain/") for name in epochs[0][0]} == expected
    assert [step for metrics, step in logged if "pretrain/step_loss" in metrics] == list(range(6))


def test_the_ema_weights_are_evaluated_and_saved(
    train: Callable[..., TrainedEncoders], new_clip: Callable[[], Any]
) -> None:
    embeddings: dict[float, list[np.ndarray]] = {0.0: [], 0.9: []}
    plain, averaged = (
        train(RunState(), lambda *e, d=decay: embeddings[d].append(e[1]) or {}, ema_decay=decay)
        for decay in embeddings
    )
    losses = [[row["loss"] for row in trained.history] for trained in (plain, averaged)]
    assert losses[0] == losses[1], "the EMA does not influence training"
    start = new_clip().state_dict()["text.proj.weight"].numpy()
    moved = [float(np.abs(t.projections.text_weight - start).mean()) for t in (plain, averaged)]
    assert 0.0 < moved[1] < moved[0], "the EMA lags behind"
    assert not np.array_equal(embeddings[0.0][-1], embeddings[0.9][-1])
    for trained in (plain, averaged):
        scale = trained.history[-1]["logit_scale"]
        assert scale == pytest.approx(np.exp(trained.projections.logit_scale), rel=1e-6)
