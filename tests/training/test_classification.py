from pathlib import Path

import numpy as np
import pytest
import torch

from sports_clip_pipeline.fewshot.end_to_end_methods import METHODS
from sports_clip_pipeline.fewshot.end_to_end_study import new_trainer
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.classification import LabelledImages, rows_of_step, steps_for
from sports_clip_pipeline.training.trainer import Trainer
from tests.fewshot.end_to_end_factories import FAST, start, study, vit_start


class Killed(BaseException):
    """A kill between two steps."""


def training(
    folder: Path, method: str = "full_imagenet", config: EndToEndConfig = FAST, seed: int = 0
) -> Trainer:
    made, rows = study(folder, RunState()), np.arange(12)
    labelled = LabelledImages(
        made.images.open(), rows, made.target[rows], made.images.preprocessing
    )
    begin = vit_start() if method == "lora" else start()
    return new_trainer(METHODS[method], begin, labelled, config, seed, len(rows))


def losses_of(run: Trainer, steps: int) -> list[float]:
    batches = run.task.batches(0, run.step)
    return [float(run.train_step(next(batches))) for _ in range(steps)]


def everything(run: Trainer) -> dict[str, np.ndarray]:
    return run.state()[0]


@pytest.mark.parametrize("method", ["full_imagenet", "flyp", "lora"])
@pytest.mark.parametrize("last", [2, 3])
def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(
    method: str, last: int, tmp_path: Path
) -> None:
    config = FAST.model_copy(update={"freeze_batch_norm_below": 0})
    whole = training(tmp_path, method, config)
    losses = {}
    whole.fit(RunState(), "k", "m", lambda t, loss: losses.update({t.steps_done: float(loss)}))

    run_state = RunState(tmp_path / "run_state")

    def interrupted(run: Trainer, loss: torch.Tensor) -> None:
        if run.steps_done == last:
            raise Killed

    with pytest.raises(Killed):
        training(tmp_path, method, config).fit(run_state, "k", "m", interrupted)
    torch.manual_seed(99)
    again, steps = training(tmp_path, method, config), {}
    again.fit(run_state, "k", "m", lambda t, loss: steps.update({t.steps_done: float(loss)}))
    assert min(steps) == (1 if last == 2 else 3), "continued from the last checkpoint"
    assert steps == {step: losses[step] for step in steps}
    wanted, got = everything(whole), everything(again)
    assert wanted.keys() == got.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_seeds_change_the_batches_and_equal_seeds_change_nothing(tmp_path: Path) -> None:
    first, same, other = (
        losses_of(training(tmp_path, "wise_ft", seed=seed), 1) for seed in (0, 0, 1)
    )
    assert first == same
    assert first != other


def test_a_head_initialised_at_zero_gives_equal_probabilities(tmp_path: Path) -> None:
    config = FAST.model_copy(update={"label_smoothing": 0.0})
    assert losses_of(training(tmp_path, config=config), 1) == pytest.approx([np.log(3)], abs=1e-6)


def test_only_the_last_blocks_and_what_follows_them_move(tmp_path: Path) -> None:
    run = training(tmp_path, "last_blocks", FAST.model_copy(update={"freeze_batch_norm_below": 0}))
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    losses_of(run, 2)
    blocks = {len(run.model.encoder.blocks) - 2, len(run.model.encoder.blocks) - 1}
    free = ("encoder.conv_head", "encoder.bn2", "head.", *(f"encoder.blocks.{b}." for b in blocks))
    moved = {n for n, v in run.model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved
    assert all(name.startswith(free) for name in moved), moved
    assert {n for n in before if n.startswith(free)} == moved


def test_frozen_batch_norms_keep_statistics_but_train_scales(tmp_path: Path) -> None:
    few = training(tmp_path, config=FAST.model_copy(update={"freeze_batch_norm_below": 1000}))
    many = training(tmp_path, config=FAST.model_copy(update={"freeze_batch_norm_below": 0}))
    for run, keeps in ((few, True), (many, False)):
        before = {name: value.clone() for name, value in run.model.state_dict().items()}
        losses_of(run, 2)  # a head at zero gives no gradient to the encoder in the first
        after = run.model.state_dict()
        same = {name for name in before if torch.equal(after[name], before[name])}
        assert ("encoder.bn1.running_mean" in same) == keeps
        assert "encoder.bn1.weight" not in same


def test_biases_and_norms_are_not_decayed(tmp_path: Path) -> None:
    run = training(tmp_path)
    for group in run.optimizer.param_groups:
        dimensions = {min(parameter.ndim, 2) for parameter in group["params"]}
        assert dimensions == ({2} if group["weight_decay"] else {1})
    counted = sum(len(group["params"]) for group in run.optimizer.param_groups)
    assert counted == len(run.trainable)
    assert "encoder.classifier.weight" not in run.trainable


def test_training_learns_its_own_images(tmp_path: Path) -> None:
    config = FAST.model_copy(update={"min_steps": 25, "batch_size": 12, "crop_area": 0.9})
    run = training(tmp_path, config=config)
    losses = losses_of(run, 25)
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize(("size", "count"), [(4, 10), (7, 3), (5, 5)])
def test_steps_go_through_whole_passes_one_after_another(size: int, count: int) -> None:
    seen = np.concatenate([rows_of_step(step, size, count, seed=3) for step in range(count)])
    passes = seen.reshape(size, count)
    assert (np.sort(passes, axis=1) == np.arange(count)).all()
    assert len({tuple(one) for one in passes}) > 1 or count == 1


def test_steps_are_the_epochs_but_no_fewer_than_the_least() -> None:
    config = EndToEndConfig(batch_size=64, epochs=8, min_steps=200)
    assert steps_for(8832, config) == 1104
    assert steps_for(88, config) == 200
