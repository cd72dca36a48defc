from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.journal import DiskJournal, Journal
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.training.arm import Arm
from sports_clip_pipeline.training.pixels.arms import (
    finished_pixel_arms,
    plan_pixel_arms,
    run_pixel_arms,
)
from sports_clip_pipeline.training.pixels.fitted import PixelArm, predictor_of
from tests.training.pixels.making import FAST, VitStart, anchors, prompts, study

ALL = FAST.model_copy(update={"methods": ("full_imagenet", "wise_ft"), "fractions": (0.5, 1.0)})


def one(
    folder: Path, journal: Journal, config: EndToEndConfig = FAST, **changes: object
) -> PixelArm:
    made = study(folder, journal, config=config)
    (done,) = run_pixel_arms(dataclasses.replace(made, **changes), config, journal)
    return done


def test_the_plan_begins_with_few_labels() -> None:
    config = EndToEndConfig(methods="flyp+wise_ft", fractions="1.0+0.1", seeds=2)
    assert plan_pixel_arms(config) == [
        Arm("flyp", 0.1, 0), Arm("flyp", 0.1, 1), Arm("wise_ft", 0.1, 0), Arm("wise_ft", 0.1, 1),
        Arm("flyp", 1.0, 0), Arm("wise_ft", 1.0, 0),
    ]  # fmt: skip


def test_finished_arms_are_reused_and_shown_without_training(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path / "journal")
    made = study(tmp_path / "store", journal)
    assert not list(finished_pixel_arms(made, ALL, journal))
    first = list(run_pixel_arms(made, ALL, journal))
    assert [done.fitted.reused for done in first] == [False] * 4
    for again in (run_pixel_arms(made, ALL, journal), finished_pixel_arms(made, ALL, journal)):
        for kept, done in zip(again, first, strict=True):
            assert kept.fitted.reused
            assert kept.fitted.arm == done.fitted.arm
            assert kept.fitted.elapsed_s == done.fitted.elapsed_s
            np.testing.assert_array_equal(
                kept.tower_weights["conv_stem.weight"], done.tower_weights["conv_stem.weight"]
            )
    left = {path.name for path in (tmp_path / "journal/arms").rglob("*") if path.is_file()}
    assert left == {"0.safetensors"}, "states of unfinished stages are gone"


def test_shares_too_small_for_the_classes_are_no_finished_arms(tmp_path: Path) -> None:
    journal = DiskJournal(tmp_path / "journal")
    made = study(tmp_path / "store", journal)
    tiny = ALL.model_copy(update={"fractions": (0.001, 1.0)})
    with pytest.raises(UserFacingError, match=r"label fraction 0\.001"):
        next(iter(run_pixel_arms(made, tiny, journal)))
    assert not list(finished_pixel_arms(made, tiny, journal))


def test_a_changed_setting_trains_anew_only_who_reads_it(tmp_path: Path) -> None:
    journal = Journal()
    made = study(tmp_path, journal)
    marks = {arm: made.mark(arm, ALL) for arm in plan_pixel_arms(ALL)}

    def changed(**settings: object) -> set[str]:
        other = ALL.model_copy(update=settings)
        return {arm.method for arm, mark in marks.items() if made.mark(arm, other) != mark}

    assert changed(epochs=2) == {"full_imagenet", "wise_ft"}
    assert changed(wise_alphas=(0.5,)) == {"wise_ft"}
    assert changed(lora_rank=2, random_lr=0.1, last_blocks=1, checkpoint_every_steps=9) == set()
    assert changed(seeds=3, fractions=(1.0,), threads=2) == set()


def test_photographs_without_a_label_of_the_arm_change_nothing(tmp_path: Path) -> None:
    made = study(tmp_path / "a", Journal(), count=18)
    config = FAST.model_copy(update={"fractions": (0.5,)})
    (arm,) = plan_pixel_arms(config)
    others = np.setdiff1d(np.arange(18), made.rows(arm))
    addresses = list(made.squares.addresses)
    addresses[others[0]] = "f" * 64
    changed = dataclasses.replace(made.squares, addresses=addresses)
    assert dataclasses.replace(made, squares=changed).mark(arm, config) == made.mark(arm, config)
    addresses[made.rows(arm)[0]] = "e" * 64
    assert dataclasses.replace(made, squares=changed).mark(arm, config) != made.mark(arm, config)


def test_deleting_the_evaluation_part_changes_no_weight(tmp_path: Path) -> None:
    """The store of 24 has six photographs that only judge; one without them trains alike."""
    whole = study(tmp_path / "a", Journal(), count=24)
    rows = np.arange(18)
    squares = dataclasses.replace(whole.squares, rows=rows, addresses=whole.squares.addresses[:18])
    kept = study(tmp_path / "b", Journal(), count=18)
    with_part = dataclasses.replace(
        whole, squares=squares, target=whole.target[:18], splits=kept.splits
    )
    (first,) = run_pixel_arms(with_part, FAST, Journal())
    (second,) = run_pixel_arms(kept, FAST, Journal())
    assert first.mark == second.mark
    for name, value in first.tower_weights.items():
        np.testing.assert_array_equal(second.tower_weights[name], value)


def test_few_labels_are_all_trained_on_after_the_held_out_ones_have_served(tmp_path: Path) -> None:
    once = one(tmp_path / "a", Journal())
    twice = one(tmp_path / "b", Journal(), FAST.model_copy(update={"refit_below": 100}))
    assert not once.fitted.fit.hyperparameters["refit"]
    assert twice.fitted.fit.hyperparameters["refit"]
    assert twice.fitted.fit.temperature == once.fitted.fit.temperature
    assert twice.fitted.fit.cv_top1 == once.fitted.fit.cv_top1
    kernel = "conv_head.weight"
    assert not np.array_equal(twice.tower_weights[kernel], once.tower_weights[kernel])


def test_wise_ft_names_the_weight_that_held_out_photographs_chose(tmp_path: Path) -> None:
    done = one(tmp_path, Journal(), FAST.model_copy(update={"methods": ("wise_ft",)}))
    assert done.fitted.fit.hyperparameters["alpha"] in FAST.wise_alphas


def test_low_rank_updates_end_in_a_tower_of_the_first_architecture(tmp_path: Path) -> None:
    config = FAST.model_copy(update={"methods": ("lora",)})
    begin = VitStart("lite0", anchors(16), prompts())
    config = config.model_copy(update={"test_size": 32})
    made = study(tmp_path, Journal(), config=config, begin=begin)
    (done,) = run_pixel_arms(made, config, Journal())
    plain = begin.pretrained().state_dict()
    assert done.tower_weights.keys() == plain.keys()
    moved = {n for n, v in plain.items() if not np.array_equal(v.numpy(), done.tower_weights[n])}
    assert moved == {f"blocks.{b}.attn.{layer}.weight" for b in (0, 1) for layer in ("qkv", "proj")}


def test_a_method_that_does_not_fit_the_tower_stops_before_the_first_arm(tmp_path: Path) -> None:
    journal = Journal()
    config = FAST.model_copy(update={"methods": ("full_imagenet", "lora")})
    with pytest.raises(UserFacingError, match="no attention"):
        list(run_pixel_arms(study(tmp_path, journal), config, journal))
    assert not journal._states


def test_shuffled_labels_teach_nothing_that_holds_out(tmp_path: Path) -> None:
    made = study(tmp_path, Journal(), count=90)
    target = np.random.default_rng(3).permutation(made.target)
    splits = made.splits.assign(label=[f"class {c}" for c in target])
    config = FAST.model_copy(update={"held_out_share": 0.5, "min_steps": 6})
    (done,) = run_pixel_arms(
        dataclasses.replace(made, target=target, splits=splits), config, Journal()
    )
    assert done.fitted.fit.cv_top1 < 0.6


def test_the_predictor_of_an_arm_sees_photographs_as_training_judged_them(tmp_path: Path) -> None:
    journal = Journal()
    config = FAST.model_copy(update={"views": ("full", "full_flip")})
    made = study(tmp_path, journal, config=config)
    (done,) = run_pixel_arms(made, config, journal)
    seen = made.squares.preprocessing
    predictor = predictor_of(done, ("a", "b", "c"), "lite0", seen, config.views)
    from sports_clip_pipeline.training.pixels.classifier import pooled_squares

    pooled = pooled_squares(predictor.module(), made.squares.open(), seen, config.views)
    images = [made.squares.store.get(i) for i in range(18)]
    np.testing.assert_allclose(
        predictor.predict_images(images), predictor.predict_proba(pooled), atol=1e-4
    )


PLAN = """
import sys, dataclasses, torch
from pathlib import Path
from sports_clip_pipeline.journal import DiskJournal
from sports_clip_pipeline.training.pixels import loop
from sports_clip_pipeline.training.pixels.arms import run_pixel_arms
from tests.training.pixels.making import FAST, study
torch.set_num_threads(1)
step = loop.PixelTraining.step
def told(self):
    loss = step(self)
    print(self.done, flush=True)
    return loss
loop.PixelTraining.step = told
config = FAST.model_copy(update=dict(min_steps=12))
journal = DiskJournal(Path(sys.argv[1]) / "journal")
(done,) = run_pixel_arms(study(Path(sys.argv[1]) / "store", journal), config, journal)
print("finished", float(done.tower_weights["conv_head.weight"].sum()), flush=True)
"""


def plan(folder: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    command = [sys.executable, "-c", PLAN, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment)


def stopped_at(folder: Path, number: int, after: int) -> int:
    """Run the plan, send the signal once step `after` is told; the last step it told."""
    process = plan(folder)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= after:
            break
    process.send_signal(number)
    told = [line for line in process.stdout if line.strip()]
    process.stdout.close()
    wanted = -signal.SIGKILL if number == signal.SIGKILL else 128 + signal.SIGTERM
    assert process.wait() == wanted
    return int(told[-1]) if told else after


@pytest.mark.slow
def test_a_plan_killed_and_ended_by_the_system_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    killed = stopped_at(tmp_path, signal.SIGKILL, 3)
    assert killed < 12
    ended = stopped_at(tmp_path, signal.SIGTERM, killed + 2)
    assert ended < 12
    last = plan(tmp_path)
    assert last.stdout is not None
    lines = last.stdout.read().split("\n")
    last.stdout.close()
    assert last.wait() == 0
    assert int(lines[0]) == ended + 1, "SIGTERM keeps the very last step"
    config = FAST.model_copy(update={"min_steps": 12})
    whole = one(tmp_path / "whole", Journal(), config)
    assert lines[-2] == f"finished {float(whole.tower_weights['conv_head.weight'].sum())}"
