from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sports_clip_pipeline.journal import DiskJournal, Journal
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.pixels.loop import (
    Photographs,
    PixelTraining,
    run_training,
    set_training_mode,
)
from sports_clip_pipeline.training.pixels.methods import find_pixel_method
from tests.training.pixels.making import FAST, VitStart, anchors, prompts, start, study


class Killed(BaseException):
    """A kill between two steps."""


def photographs(folder: Path) -> Photographs:
    made = study(folder, Journal())
    rows = np.arange(12)
    return Photographs(made.squares.open(), rows, made.target[rows], made.squares.preprocessing)


def training(
    folder: Path, method: str = "full_imagenet", config: EndToEndConfig = FAST, seed: int = 0
) -> PixelTraining:
    recipe = find_pixel_method(method)
    begin = VitStart("lite0", anchors(16), prompts()) if method == "lora" else start()
    return PixelTraining(
        recipe.build(begin, config, seed), recipe, photographs(folder), config, seed
    )


def everything(run: PixelTraining) -> dict[str, np.ndarray]:
    return run.state()[0]


@pytest.mark.parametrize("method", ["full_imagenet", "flyp", "lora"])
@pytest.mark.parametrize("last", [2, 3])
def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(
    method: str, last: int, tmp_path: Path
) -> None:
    config = FAST.model_copy(update={"freeze_batch_norm_below": 0})
    whole = training(tmp_path, method, config)
    losses = {}
    run_training(whole, Journal(), "k", "m", lambda t, loss: losses.update({t.done: loss}))

    journal = DiskJournal(tmp_path / "journal")

    def dies(run: PixelTraining, loss: float) -> None:
        if run.done == last:
            raise Killed

    with pytest.raises(Killed):
        run_training(training(tmp_path, method, config), journal, "k", "m", dies)
    torch.manual_seed(99)
    again, seen = training(tmp_path, method, config), {}
    run_training(again, journal, "k", "m", lambda t, loss: seen.update({t.done: loss}))
    assert min(seen) == (1 if last == 2 else 3), "continued from the last kept step"
    assert seen == {step: losses[step] for step in seen}
    wanted, got = everything(whole), everything(again)
    assert wanted.keys() == got.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_a_finished_run_is_read_back_without_a_step(tmp_path: Path) -> None:
    journal = Journal()
    whole = training(tmp_path)
    run_training(whole, journal, "k", "m", lambda t, loss: None)
    again, steps = training(tmp_path), []
    run_training(again, journal, "k", "m", lambda t, loss: steps.append(t.done))
    assert not steps
    assert again.elapsed_s == whole.elapsed_s
    got = everything(again)
    for name, value in everything(whole).items():
        np.testing.assert_array_equal(got[name], value)


def test_seeds_change_the_batches_and_equal_seeds_change_nothing(tmp_path: Path) -> None:
    first, same, other = (training(tmp_path, "wise_ft", seed=seed).step() for seed in (0, 0, 1))
    assert first == same
    assert first != other


def test_a_head_that_starts_at_zero_says_every_class_is_as_probable(tmp_path: Path) -> None:
    config = FAST.model_copy(update={"label_smoothing": 0.0})
    assert training(tmp_path, config=config).step() == pytest.approx(np.log(3), abs=1e-6)


def test_only_the_last_blocks_and_what_follows_them_move(tmp_path: Path) -> None:
    run = training(tmp_path, "last_blocks", FAST.model_copy(update={"freeze_batch_norm_below": 0}))
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    for _ in range(2):
        run.step()
    blocks = {len(run.model.tower.blocks) - 2, len(run.model.tower.blocks) - 1}
    free = ("tower.conv_head", "tower.bn2", "head.", *(f"tower.blocks.{b}." for b in blocks))
    moved = {n for n, v in run.model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved
    assert all(name.startswith(free) for name in moved), moved
    assert {n for n in before if n.startswith(free)} == moved


def test_kept_statistics_do_not_move_and_their_scales_do(tmp_path: Path) -> None:
    few = training(tmp_path, config=FAST.model_copy(update={"freeze_batch_norm_below": 1000}))
    many = training(tmp_path, config=FAST.model_copy(update={"freeze_batch_norm_below": 0}))
    for run, keeps in ((few, True), (many, False)):
        before = {name: value.clone() for name, value in run.model.state_dict().items()}
        run.step(), run.step()  # a head at zero sends nothing to the tower in the first
        after = run.model.state_dict()
        same = {name for name in before if torch.equal(after[name], before[name])}
        assert ("tower.bn1.running_mean" in same) == keeps
        assert "tower.bn1.weight" not in same


def test_frozen_norms_keep_their_statistics_even_where_others_learn() -> None:
    model = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2))
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    set_training_mode(model, keep_statistics=False)
    assert [module.training for module in model] == [False, True]
    set_training_mode(model, keep_statistics=True)
    assert [module.training for module in model] == [False, False]


def test_biases_and_norms_are_not_decayed(tmp_path: Path) -> None:
    run = training(tmp_path)
    for group in run.optimizer.param_groups:
        dimensions = {min(parameter.ndim, 2) for parameter in group["params"]}
        assert dimensions == ({2} if group["weight_decay"] else {1})
    counted = sum(len(group["params"]) for group in run.optimizer.param_groups)
    assert counted == len(run.trained)
    assert "tower.classifier.weight" not in run.trained


def test_training_learns_its_own_photographs(tmp_path: Path) -> None:
    config = FAST.model_copy(update={"min_steps": 25, "batch_size": 12, "crop_area": 0.9})
    run = training(tmp_path, config=config)
    losses = [run.step() for _ in range(25)]
    assert losses[-1] < 0.75 * losses[0]
