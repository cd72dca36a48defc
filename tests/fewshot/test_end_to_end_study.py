import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.fewshot import end_to_end_study
from sports_clip_pipeline.fewshot.end_to_end_study import (
    EndToEndStudy,
    estimate_study,
    finished_end_to_end_trials,
    held_out_rows,
    plan_end_to_end_trials,
    read_encoder,
    run_end_to_end_trials,
)
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from tests.fewshot.end_to_end_factories import FAST, study, vit_start

ALL = FAST.model_copy(update={"methods": ("full_imagenet", "wise_ft"), "fractions": (0.5, 1.0)})


def train(
    made: EndToEndStudy, config: EndToEndConfig = FAST
) -> tuple[FittedTrial, dict[str, np.ndarray]]:
    """The one trial of a plan, and its encoder."""
    state = RunState()
    (trial,) = run_end_to_end_trials(made, config, state)
    return trial, read_encoder(trial, state)


def test_the_plan_begins_with_few_labels() -> None:
    config = EndToEndConfig(methods="flyp+wise_ft", fractions="1.0+0.1", seeds=2)
    assert plan_end_to_end_trials(config) == [
        TrialKey("flyp", 0.1, 0), TrialKey("flyp", 0.1, 1),
        TrialKey("wise_ft", 0.1, 0), TrialKey("wise_ft", 0.1, 1),
        TrialKey("flyp", 1.0, 0), TrialKey("wise_ft", 1.0, 0),
    ]  # fmt: skip


def test_finished_trials_are_reused_and_listed_without_training(tmp_path: Path) -> None:
    state = RunState(tmp_path / "state")
    made = study(tmp_path / "store", state)
    assert not list(finished_end_to_end_trials(made, ALL, state))
    first = list(run_end_to_end_trials(made, ALL, state))
    assert [trial.reused for trial in first] == [False] * 4
    for read in (run_end_to_end_trials, finished_end_to_end_trials):
        for again, once in zip(read(made, ALL, state), first, strict=True):
            assert again.without_arrays() == replace(once.without_arrays(), reused=True)
            encoders = [read_encoder(trial, state) for trial in (again, once)]
            np.testing.assert_equal(encoders[0], encoders[1])
    left = {path.name for path in (tmp_path / "state/trials").rglob("*") if path.is_file()}
    assert left == {"0.safetensors"}, "states of unfinished stages are deleted"


def test_fractions_too_small_for_the_classes_are_refused(tmp_path: Path) -> None:
    state = RunState()
    made, tiny = study(tmp_path, state), ALL.model_copy(update={"fractions": (0.001, 1.0)})
    with pytest.raises(UserFacingError, match=r"label fraction 0\.001"):
        next(iter(run_end_to_end_trials(made, tiny, state)))
    assert not list(finished_end_to_end_trials(made, tiny, state))


@pytest.mark.parametrize(
    ("settings", "methods"),
    [
        ({"epochs": 2}, {"full_imagenet", "wise_ft"}),
        ({"wise_alphas": (0.5,)}, {"wise_ft"}),
        ({"lora_rank": 2, "random_lr": 0.1, "last_blocks": 1, "checkpoint_every_steps": 9}, set()),
        ({"seeds": 3, "fractions": (1.0,), "threads": 2}, set()),
    ],
)
def test_a_changed_setting_retrains_the_methods_that_read_it(
    settings: dict, methods: set[str], tmp_path: Path
) -> None:
    made, other = study(tmp_path, RunState()), ALL.model_copy(update=settings)
    keys = plan_end_to_end_trials(ALL)
    changed = {k.method for k in keys if made.fingerprint(k, ALL) != made.fingerprint(k, other)}
    assert changed == methods


def test_a_trial_depends_on_its_labelled_images_and_labels_alone(tmp_path: Path) -> None:
    made, key = study(tmp_path, RunState()), TrialKey("full_imagenet", 0.5, 0)
    rows = made.labelled_rows(key)

    def fingerprint(changed_row: int) -> str:
        addresses = list(made.images.addresses)
        addresses[changed_row] = "f" * 64
        images = replace(made.images, addresses=addresses)
        return replace(made, images=images).fingerprint(key, FAST)

    other = np.setdiff1d(np.arange(18), rows)[0]
    content = made.fingerprint(key, FAST)
    assert fingerprint(other) == content != fingerprint(rows[0])
    assert replace(made, target=np.roll(made.target, 1)).fingerprint(key, FAST) != content


@pytest.mark.parametrize(
    ("method", "uses_text", "uses_prompts"),
    [
        ("full_random", False, False),
        ("full_imagenet", False, False),
        ("wise_ft", True, False),
        ("flyp", True, True),
    ],
)
def test_a_trial_depends_on_the_texts_that_its_method_uses(
    method: str, uses_text: bool, uses_prompts: bool, tmp_path: Path
) -> None:
    made, key = study(tmp_path, RunState()), TrialKey(method, 1.0, 0)
    content = made.fingerprint(key, FAST)
    text = replace(made.start, pretrained=replace(made.start.pretrained, logit_scale=3.0))
    assert (replace(made, start=text).fingerprint(key, FAST) != content) == uses_text
    bank = made.start.prompts.bank.model_copy(update={"templates": ("{}!",)})
    prompts = replace(made.start, prompts=replace(made.start.prompts, bank=bank))
    assert (replace(made, start=prompts).fingerprint(key, FAST) != content) == uses_prompts


def test_deleting_the_test_images_changes_no_weight(tmp_path: Path) -> None:
    """A store of 24 of which six are test images; one without them trains alike."""
    whole = study(tmp_path / "a", RunState(), count=24)
    images = replace(whole.images, rows=np.arange(18), addresses=whole.images.addresses[:18])
    without = study(tmp_path / "b", RunState(), count=18)
    with_test = replace(whole, images=images, target=whole.target[:18], splits=without.splits)
    (first, weights), (second, others) = train(with_test), train(without)
    assert first.fingerprint == second.fingerprint
    np.testing.assert_equal(weights, others)


def test_few_labels_are_refitted_on_the_held_out_ones_too(tmp_path: Path) -> None:
    made = study(tmp_path, RunState())
    once, weights = train(made)
    twice, others = train(made, FAST.model_copy(update={"refit_below": 100}))
    assert [trial.fit.hyperparameters["refit"] for trial in (once, twice)] == [False, True]
    assert twice.fit.temperature == once.fit.temperature
    assert twice.fit.cv_top1 == once.fit.cv_top1
    kernel = "conv_head.weight"
    assert not np.array_equal(others[kernel], weights[kernel])


def test_lora_ends_in_an_encoder_of_the_packaged_architecture(tmp_path: Path) -> None:
    config = FAST.model_copy(update={"methods": ("lora",), "test_size": 32})
    _, weights = train(study(tmp_path, RunState(), config=config, begin=vit_start()), config)
    before = vit_start().imagenet_encoder().state_dict()
    assert weights.keys() == before.keys()
    moved = {n for n, v in before.items() if not np.array_equal(v.numpy(), weights[n])}
    assert moved == {f"blocks.{b}.attn.{layer}.weight" for b in (0, 1) for layer in ("qkv", "proj")}


def test_a_method_that_does_not_fit_the_encoder_stops_before_the_first_trial(
    tmp_path: Path,
) -> None:
    config = FAST.model_copy(update={"methods": ("full_imagenet", "lora")})
    with pytest.raises(UserFacingError, match="no attention"):
        next(run_end_to_end_trials(study(tmp_path, RunState()), config, RunState()))


def test_shuffled_labels_teach_nothing_about_held_out_images(tmp_path: Path) -> None:
    made = study(tmp_path, RunState(), count=90)
    target = np.random.default_rng(3).permutation(made.target)
    splits = made.splits.assign(label=[f"class {c}" for c in target])
    config = FAST.model_copy(update={"held_out_share": 0.5, "min_steps": 6})
    trial, _ = train(replace(made, target=target, splits=splits), config)
    assert trial.fit.cv_top1 < 0.6


TWELVE = FAST.model_copy(update={"min_steps": 12})
SCRIPT = """
import sys, torch
from pathlib import Path
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.fewshot.end_to_end_study import read_encoder, run_end_to_end_trials
from sports_clip_pipeline.training.trainer import Trainer
from tests.fewshot.end_to_end_factories import study
from tests.fewshot.test_end_to_end_study import TWELVE
torch.set_num_threads(1)
train_step = Trainer.train_step
def printing(self, inputs):
    loss = train_step(self, inputs)
    print(self.steps_done, flush=True)
    return loss
Trainer.train_step = printing
folder = Path(sys.argv[1])
state = RunState(folder / "state")
(trial,) = run_end_to_end_trials(study(folder / "store", state), TWELVE, state)
print("finished", float(read_encoder(trial, state)["conv_head.weight"].sum()), flush=True)
"""


def start_process(folder: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment)


def stopped_at(folder: Path, number: int, after: int) -> int:
    """Train, send the signal once step `after` is printed; the last step printed."""
    process = start_process(folder)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= after:
            break
    process.send_signal(number)
    steps = [int(line) for line in process.stdout if line.strip()]
    process.stdout.close()
    expected = -signal.SIGKILL if number == signal.SIGKILL else 128 + signal.SIGTERM
    assert process.wait() == expected
    return steps[-1] if steps else after


@pytest.mark.slow
def test_a_trial_killed_and_terminated_resumes_to_the_same_weights(tmp_path: Path) -> None:
    killed = stopped_at(tmp_path, signal.SIGKILL, 3)
    assert killed < 12
    terminated = stopped_at(tmp_path, signal.SIGTERM, killed + 2)
    assert terminated < 12
    lines = start_process(tmp_path).communicate()[0].split("\n")
    assert int(lines[0]) == terminated + 1, "SIGTERM saves the very last step"
    _, weights = train(study(tmp_path / "whole", RunState()), TWELVE)
    assert lines[-2] == f"finished {float(weights['conv_head.weight'].sum())}"


def test_each_class_holds_out_its_share_and_a_single_image_is_trained_on() -> None:
    target = np.array([0] * 20 + [1] * 4 + [2])
    out = held_out_rows(target, np.arange(25), 0.1, seed=0)
    assert np.bincount(target[out], minlength=3).tolist() == [2, 1, 0]
    assert (held_out_rows(target, np.arange(25), 0.1, seed=0) == out).all()
    assert any(
        (held_out_rows(target, np.arange(25), 0.1, seed=s) != out).any() for s in range(1, 5)
    )


def test_an_estimate_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"full_imagenet": 50.0, "flyp": 25.0}
    monkeypatch.setattr(end_to_end_study, "measure_rate", lambda method, *_: rates[method])
    config = EndToEndConfig(
        methods="full_imagenet+flyp", fractions="0.5+1.0", batch_size=3, epochs=4, min_steps=10,
        refit_below=10, held_out_share=0.3,
    )  # fmt: skip
    table = estimate_study(study(tmp_path, RunState()), config)
    assert table["method"].tolist() == ["full_imagenet", "flyp"] * 2
    # Of 9 labels 3 are held out: 8 steps, so the minimum of 10, and 12 of the refit. 12 of 18: 16.
    assert table["steps"].tolist() == [22, 22, 16, 16]
    assert table["hours"].tolist() == pytest.approx(
        [66 / 50 / 3600, 66 / 25 / 3600, 48 / 50 / 3600, 48 / 25 / 3600]
    )
    assert table["disk_bytes"].min() > 2 * 4 * 3_000_000


def test_a_study_is_estimated_from_a_few_timed_steps(tmp_path: Path) -> None:
    config = FAST.model_copy(update={"methods": ("full_imagenet", "last_blocks")})
    table = estimate_study(study(tmp_path, RunState()), config, timed_steps=1)
    assert (table["hours"] > 0).all()
    assert (table["steps"] == 4).all()
