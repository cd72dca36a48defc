"""Training in two real processes: the curve of one, deaths that are told, and going on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import DiskJournal
from sports_clip_pipeline.models.clip_model import build_clip
from sports_clip_pipeline.models.open_clip_pair import load_pair
from sports_clip_pipeline.models.projections import identity_projections
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.training.unlocked.group import Group
from sports_clip_pipeline.training.unlocked.precision import Compute
from sports_clip_pipeline.training.unlocked.processes import TowerTask, train_in_processes
from sports_clip_pipeline.training.unlocked.run import STATE, TrainedTowers, train_towers
from tests.training.unlocked.making import SPACE, Corpus, of_pair, write_pair

CPU = Compute("cpu", "fp32")


def no_metrics(image: np.ndarray, text: np.ndarray, owner: np.ndarray) -> dict[str, float]:
    return {}


def counted(image: np.ndarray, text: np.ndarray, owner: np.ndarray) -> dict[str, float]:
    return {"validation_t2i_r5": float(len(image)) / 100}


def breaks(image: np.ndarray, text: np.ndarray, owner: np.ndarray) -> dict[str, float]:
    raise RuntimeError("the judge is\nill")


def sleeps(image: np.ndarray, text: np.ndarray, owner: np.ndarray) -> dict[str, float]:
    time.sleep(120)
    return {}


@pytest.fixture
def together(one_block: PretrainConfig) -> PretrainConfig:
    """Two processes; nothing is drawn in them, and norms do not see the batch."""
    return replace(
        one_block, num_processes=2, encoder_dropout=False, freeze_batch_norm=True, encoder_epochs=2
    )


@pytest.fixture
def new_task(corpus, start, tmp_path: Path) -> Callable[..., TowerTask]:
    def make(config: PretrainConfig, judge: Any = no_metrics) -> TowerTask:
        return TowerTask(
            start, corpus.recipe, corpus.pairs("train"), corpus.pairs("validation"), judge,
            corpus.preprocessing, config, CPU, tmp_path, "f",
        )  # fmt: skip

    return make


def read_back(task: TowerTask, journal: Any) -> TrainedTowers:
    return train_towers(
        build_clip(task.projections, **task.recipe), task.train, task.validation, task.judge,
        task.preprocessing, task.config, CPU, journal, "f",
    )  # fmt: skip


class Heard:
    """A tracker that keeps what it hears."""

    def __init__(self) -> None:
        self.metrics: list[tuple[dict[str, float], int | None]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        self.metrics.append((metrics, step))

    def log_trial(self, *arguments: Any) -> None:
        raise AssertionError("pretraining has no arms")


@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_processes_give_the_curve_of_one(
    new_task: Callable[..., TowerTask], together: PretrainConfig, accumulation: int, tmp_path: Path
) -> None:
    task = new_task(replace(together, encoder_accumulation=accumulation), counted)
    journal, heard = DiskJournal(tmp_path), Heard()
    journal.attach(heard)
    train_in_processes(task, journal)
    both = read_back(task, journal)
    alone = read_back(task, DiskJournal(tmp_path / "alone"))
    losses = [[row["loss"] for row in trained.history] for trained in (both, alone)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert [row["validation_t2i_r5"] for row in both.history] == [0.04, 0.04]
    for name, value in alone.weights.items():
        np.testing.assert_allclose(both.weights[name], value, atol=2e-3, err_msg=name)
    np.testing.assert_allclose(
        both.projections.image_weight, alone.projections.image_weight, atol=2e-3
    )
    steps = [step for metrics, step in heard.metrics if "pretrain/step_loss" in metrics]
    assert steps == [0, 1, 2, 3]


def test_two_processes_unlock_one_tower_of_a_pair(
    corpus: Corpus, together: PretrainConfig, tmp_path: Path
) -> None:
    name = write_pair(tmp_path / "pair")
    seen = of_pair(corpus, name)
    config = replace(
        together, unlocked_image_blocks=-1, unlocked_text_blocks=0, projections="none", epochs=0
    )
    task = TowerTask(
        identity_projections(SPACE, 2.5, None), seen.recipe, seen.pairs("train"),
        seen.pairs("validation"), counted, seen.preprocessing, config, CPU, tmp_path / "both", "f",
    )  # fmt: skip
    train_in_processes(task, DiskJournal(tmp_path / "both"))
    both = read_back(task, DiskJournal(tmp_path / "both"))
    alone = read_back(task, DiskJournal(tmp_path / "alone"))
    losses = [[row["loss"] for row in trained.history] for trained in (both, alone)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert both.weights.keys() == alone.weights.keys()
    assert all(key.startswith("visual.") for key in both.weights)
    start = load_pair(name).state_dict()
    for key, value in alone.weights.items():
        np.testing.assert_allclose(both.weights[key], value, atol=2e-3, err_msg=key)
    assert any(
        np.abs(value - start[key].numpy()).max() > 1e-4 for key, value in both.weights.items()
    )


def test_parts_are_disjoint_and_together_the_batch() -> None:
    for count in (1, 2, 3, 5):
        parts = [Group(rank, count).part(11) for rank in range(count)]
        assert np.concatenate(parts).tolist() == list(range(11))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_process_that_fails_ends_the_run_with_its_own_error_and_it_goes_on(
    new_task: Callable[..., TowerTask], together: PretrainConfig, tmp_path: Path
) -> None:
    config = replace(together, checkpoint_every_steps=1)
    with pytest.raises(UserFacingError, match="RuntimeError: the judge is ill") as told:
        train_in_processes(new_task(config, breaks), DiskJournal(tmp_path))
    assert "pretraining process 0" in str(told.value)
    kept = DiskJournal(tmp_path).load_state(STATE, "f")
    assert kept is not None
    assert (kept[1]["epoch"], kept[1]["step"]) == (0, 1)
    task = new_task(config)
    train_in_processes(task, DiskJournal(tmp_path))
    assert len(read_back(task, DiskJournal(tmp_path)).history) == 2


def test_a_killed_process_fails_the_run_within_seconds(
    new_task: Callable[..., TowerTask], together: PretrainConfig, tmp_path: Path
) -> None:
    killed: list[float] = []

    def kill() -> None:
        while DiskJournal(tmp_path).load_state(STATE, "f") is None:
            time.sleep(0.1)
        time.sleep(2)  # the first epoch is over, and its judge sleeps
        _, second = workers()
        killed.append(time.monotonic())
        os.kill(second.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    with pytest.raises(UserFacingError, match="was killed by signal 9") as told:
        train_in_processes(
            new_task(replace(together, checkpoint_every_steps=1), sleeps), DiskJournal(tmp_path)
        )
    assert time.monotonic() - killed[0] < 45
    assert "pretraining process 1" in str(told.value)


def workers() -> list[psutil.Process]:
    """The launched processes, in the order of their ranks."""
    children = sorted(psutil.Process().children(), key=lambda child: child.pid)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
