from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sports_clip_pipeline.journal import DiskJournal, Journal
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.training.unlocked.precision import Compute
from sports_clip_pipeline.training.unlocked.run import BEST, STATE, TrainedTowers, train_towers

CPU = Compute("cpu", "fp32")


class Killed(BaseException):
    """A death between two epochs."""


@pytest.fixture
def train(corpus, new_clip: Callable[[], Any], one_block: PretrainConfig) -> Callable[..., Any]:
    def run(journal: Journal, judge: Any = lambda image, text, owner: {}) -> TrainedTowers:
        return train_towers(
            new_clip(), corpus.pairs("train"), corpus.pairs("validation"), judge,
            corpus.preprocessing, one_block, CPU, journal, "f", 100,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("last", [1, 2])
def test_a_killed_run_ends_with_bit_equal_towers(
    train: Callable[..., TrainedTowers], tmp_path: Path, last: int
) -> None:
    whole = train(Journal())
    judged: list[int] = []

    def dies(*embeddings: np.ndarray) -> dict[str, float]:
        judged.append(1)
        if len(judged) > last:
            raise Killed
        return {}

    with pytest.raises(Killed):
        train(DiskJournal(tmp_path), dies)
    kept = DiskJournal(tmp_path).load_state(STATE, "f")
    assert kept is not None
    assert kept[1]["epoch"] == last
    again = train(DiskJournal(tmp_path))
    assert again.weights.keys() == whole.weights.keys()
    for name, value in whole.weights.items():
        np.testing.assert_array_equal(again.weights[name], value, err_msg=name)
    for name in ("image_weight", "image_bias", "text_weight", "logit_scale"):
        np.testing.assert_array_equal(
            getattr(again.projections, name), getattr(whole.projections, name)
        )
    assert [row["loss"] for row in again.history] == [row["loss"] for row in whole.history]


def test_history_and_live_metrics_go_on_from_the_locked_epochs(
    train: Callable[..., TrainedTowers], one_block: PretrainConfig
) -> None:
    logged: list[tuple[dict[str, float], int | None]] = []

    class Told:
        def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
            logged.append((metrics, step))

        def log_trial(self, *arguments: Any) -> None:
            raise AssertionError("pretraining has no arms")

    journal = Journal()
    journal.attach(Told())
    seen: list[tuple[int, ...]] = []

    def judge(image: np.ndarray, text: np.ndarray, owner: np.ndarray) -> dict[str, float]:
        seen.append((*image.shape, *text.shape, *owner.shape))
        return {"validation_t2i_r1": 0.5}

    history = train(journal, judge).history
    first = one_block.epochs + 1
    assert [row["epoch"] for row in history] == [first, first + 1, first + 2]
    assert [row["step"] for row in history] == [102, 104, 106]
    assert seen == [(4, 16, 20, 16, 20)] * 3
    epochs = [(metrics, step) for metrics, step in logged if "pretrain/loss" in metrics]
    assert [step for _, step in epochs] == [first, first + 1, first + 2]
    wanted = {"loss", "lr", "logit_scale", "validation_t2i_r1", "pairs_per_s", "step"}
    assert {name.removeprefix("pretrain/") for name in epochs[0][0]} == wanted
    assert [step for metrics, step in logged if "pretrain/step_loss" in metrics] == list(range(6))


def test_a_finished_run_is_read_back_without_an_epoch(
    train: Callable[..., TrainedTowers],
) -> None:
    journal, judged = Journal(), []
    whole = train(journal)
    again = train(journal, lambda *embeddings: judged.append(1) or {})
    assert not judged
    np.testing.assert_array_equal(
        again.weights["visual.trunk.conv_head.weight"],
        whole.weights["visual.trunk.conv_head.weight"],
    )


def test_the_best_epoch_is_kept_and_patience_ends_training(
    corpus, new_clip: Callable[[], Any], one_block: PretrainConfig
) -> None:
    recalls = iter((0.5, 0.4, 0.9))
    config = replace(one_block, keep="best", patience_epochs=1)
    journal = Journal()
    kept = train_towers(
        new_clip(), corpus.pairs("train"), corpus.pairs("validation"),
        lambda *seen: {"validation_t2i_r5": next(recalls)},
        corpus.preprocessing, config, CPU, journal, "f",
    )  # fmt: skip
    assert len(kept.history) == 2
    one = train_towers(
        new_clip(), corpus.pairs("train"), corpus.pairs("validation"), lambda *seen: {},
        corpus.preprocessing, replace(one_block, encoder_epochs=3), CPU, Journal(), "f",
    )  # fmt: skip
    best = journal.load_state(BEST, "f")
    assert best is not None and best[1]["epoch"] == 1
    name = "visual.trunk.conv_head.weight"
    np.testing.assert_array_equal(kept.weights[name], best[0][f"model.{name}"])
    assert not np.array_equal(kept.weights[name], one.weights[name])


def test_the_weights_are_the_towers_alone(train: Callable[..., TrainedTowers]) -> None:
    trained = train(Journal())
    assert all(n.startswith(("visual.trunk.", "text.transformer.")) for n in trained.weights)
    assert trained.projections.image_weight.shape == (16, 1280)
