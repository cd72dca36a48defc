from __future__ import annotations

import dataclasses
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.fewshot import end_to_end_study
from sports_clip_pipeline.fewshot.end_to_end_study import (
    EndToEndPredictions,
    EndToEndTrial,
    code_fingerprint,
    estimate,
    estimate_study,
    finished_end_to_end_trials,
    folder_name,
    held_out_rows,
    plan_end_to_end_trials,
    predictor_of,
    run_end_to_end_trials,
)
from sports_clip_pipeline.fewshot.trial import TrialKey
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.end_to_end.config import EndToEndConfig
from sports_clip_pipeline.training.classification import pooled_image_features
from tests.training.toy_study import FAST, VitStart, anchors, prompts, study

ALL = FAST.model_copy(update={"methods": ("full_imagenet", "wise_ft"), "fractions": (0.5, 1.0)})


def one(
    folder: Path, journal: RunState, config: EndToEndConfig = FAST, **changes: object
) -> EndToEndTrial:
    made = study(folder, journal, config=config)
    (done,) = run_end_to_end_trials(dataclasses.replace(made, **changes), config, journal)
    return done


def test_the_plan_begins_with_few_labels() -> None:
    config = EndToEndConfig(methods="flyp+wise_ft", fractions="1.0+0.1", seeds=2)
    assert plan_end_to_end_trials(config) == [
        TrialKey("flyp", 0.1, 0), TrialKey("flyp", 0.1, 1), TrialKey("wise_ft", 0.1, 0), TrialKey("wise_ft", 0.1, 1),
        TrialKey("flyp", 1.0, 0), TrialKey("wise_ft", 1.0, 0),
    ]  # fmt: skip


def test_finished_arms_are_reused_and_shown_without_training(tmp_path: Path) -> None:
    journal = RunState(tmp_path / "journal")
    made = study(tmp_path / "store", journal)
    assert not list(finished_end_to_end_trials(made, ALL, journal))
    first = list(run_end_to_end_trials(made, ALL, journal))
    assert [done.fitted.reused for done in first] == [False] * 4
    for again in (
        run_end_to_end_trials(made, ALL, journal),
        finished_end_to_end_trials(made, ALL, journal),
    ):
        for kept, done in zip(again, first, strict=True):
            assert kept.fitted.reused
            assert kept.fitted.key == done.fitted.key
            assert kept.fitted.elapsed_s == done.fitted.elapsed_s
            np.testing.assert_array_equal(
                kept.encoder_weights["conv_stem.weight"], done.encoder_weights["conv_stem.weight"]
            )
    left = {path.name for path in (tmp_path / "journal/arms").rglob("*") if path.is_file()}
    assert left == {"0.safetensors"}, "states of unfinished stages are gone"


def test_shares_too_small_for_the_classes_are_no_finished_arms(tmp_path: Path) -> None:
    journal = RunState(tmp_path / "journal")
    made = study(tmp_path / "store", journal)
    tiny = ALL.model_copy(update={"fractions": (0.001, 1.0)})
    with pytest.raises(UserFacingError, match=r"label fraction 0\.001"):
        next(iter(run_end_to_end_trials(made, tiny, journal)))
    assert not list(finished_end_to_end_trials(made, tiny, journal))


def test_a_changed_setting_trains_anew_only_who_reads_it(tmp_path: Path) -> None:
    journal = RunState()
    made = study(tmp_path, journal)
    contents = {arm: made.fingerprint(arm, ALL) for arm in plan_end_to_end_trials(ALL)}

    def changed(**settings: object) -> set[str]:
        other = ALL.model_copy(update=settings)
        return {
            arm.method
            for arm, content in contents.items()
            if made.fingerprint(arm, other) != content
        }

    assert changed(epochs=2) == {"full_imagenet", "wise_ft"}
    assert changed(wise_alphas=(0.5,)) == {"wise_ft"}
    assert changed(lora_rank=2, random_lr=0.1, last_blocks=1, checkpoint_every_steps=9) == set()
    assert changed(seeds=3, fractions=(1.0,), threads=2) == set()


def test_photographs_without_a_label_of_the_arm_change_nothing(tmp_path: Path) -> None:
    made = study(tmp_path / "a", RunState(), count=18)
    config = FAST.model_copy(update={"fractions": (0.5,)})
    (arm,) = plan_end_to_end_trials(config)
    others = np.setdiff1d(np.arange(18), made.rows(arm))
    addresses = list(made.images.addresses)
    addresses[others[0]] = "f" * 64
    changed = dataclasses.replace(made.images, addresses=addresses)
    assert dataclasses.replace(made, images=changed).fingerprint(arm, config) == made.fingerprint(
        arm, config
    )
    addresses[made.rows(arm)[0]] = "e" * 64
    assert dataclasses.replace(made, images=changed).fingerprint(arm, config) != made.fingerprint(
        arm, config
    )


def test_deleting_the_evaluation_part_changes_no_weight(tmp_path: Path) -> None:
    """The store of 24 has six photographs that only judge; one without them trains alike."""
    whole = study(tmp_path / "a", RunState(), count=24)
    rows = np.arange(18)
    images = dataclasses.replace(whole.images, rows=rows, addresses=whole.images.addresses[:18])
    kept = study(tmp_path / "b", RunState(), count=18)
    with_part = dataclasses.replace(
        whole, images=images, target=whole.target[:18], splits=kept.splits
    )
    (first,) = run_end_to_end_trials(with_part, FAST, RunState())
    (second,) = run_end_to_end_trials(kept, FAST, RunState())
    assert first.fingerprint == second.fingerprint
    for name, value in first.encoder_weights.items():
        np.testing.assert_array_equal(second.encoder_weights[name], value)


def test_few_labels_are_all_trained_on_after_the_held_out_ones_have_served(tmp_path: Path) -> None:
    once = one(tmp_path / "a", RunState())
    twice = one(tmp_path / "b", RunState(), FAST.model_copy(update={"refit_below": 100}))
    assert not once.fitted.fit.hyperparameters["refit"]
    assert twice.fitted.fit.hyperparameters["refit"]
    assert twice.fitted.fit.temperature == once.fitted.fit.temperature
    assert twice.fitted.fit.cv_top1 == once.fitted.fit.cv_top1
    kernel = "conv_head.weight"
    assert not np.array_equal(twice.encoder_weights[kernel], once.encoder_weights[kernel])


def test_wise_ft_names_the_weight_that_held_out_photographs_chose(tmp_path: Path) -> None:
    done = one(tmp_path, RunState(), FAST.model_copy(update={"methods": ("wise_ft",)}))
    assert done.fitted.fit.hyperparameters["alpha"] in FAST.wise_alphas


def test_low_rank_updates_end_in_a_tower_of_the_first_architecture(tmp_path: Path) -> None:
    config = FAST.model_copy(update={"methods": ("lora",)})
    begin = VitStart("lite0", anchors(16), prompts())
    config = config.model_copy(update={"test_size": 32})
    made = study(tmp_path, RunState(), config=config, begin=begin)
    (done,) = run_end_to_end_trials(made, config, RunState())
    plain = begin.pretrained().state_dict()
    assert done.encoder_weights.keys() == plain.keys()
    moved = {n for n, v in plain.items() if not np.array_equal(v.numpy(), done.encoder_weights[n])}
    assert moved == {f"blocks.{b}.attn.{layer}.weight" for b in (0, 1) for layer in ("qkv", "proj")}


def test_a_method_that_does_not_fit_the_tower_stops_before_the_first_arm(tmp_path: Path) -> None:
    journal = RunState()
    config = FAST.model_copy(update={"methods": ("full_imagenet", "lora")})
    with pytest.raises(UserFacingError, match="no attention"):
        list(run_end_to_end_trials(study(tmp_path, journal), config, journal))
    assert not journal._states


def test_shuffled_labels_teach_nothing_that_holds_out(tmp_path: Path) -> None:
    made = study(tmp_path, RunState(), count=90)
    target = np.random.default_rng(3).permutation(made.target)
    splits = made.splits.assign(label=[f"class {c}" for c in target])
    config = FAST.model_copy(update={"held_out_share": 0.5, "min_steps": 6})
    (done,) = run_end_to_end_trials(
        dataclasses.replace(made, target=target, splits=splits), config, RunState()
    )
    assert done.fitted.fit.cv_top1 < 0.6


def test_the_predictor_of_an_arm_sees_photographs_as_training_judged_them(tmp_path: Path) -> None:
    journal = RunState()
    config = FAST.model_copy(update={"views": ("full", "full_flip")})
    made = study(tmp_path, journal, config=config)
    (done,) = run_end_to_end_trials(made, config, journal)
    seen = made.images.preprocessing
    predictor = predictor_of(done, ("a", "b", "c"), "lite0", seen, config.views)
    pooled = pooled_image_features(
        predictor.module().encoder, made.images.open(), seen, config.views
    )
    images = [made.images.store.get(i) for i in range(18)]
    np.testing.assert_allclose(
        predictor.predict_images(images), predictor.predict_proba(pooled), atol=1e-4
    )


PLAN = """
import sys, dataclasses, torch
from pathlib import Path
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.fewshot.end_to_end_study import run_end_to_end_trials
from sports_clip_pipeline.training.trainer import Trainer
from tests.training.toy_study import FAST, study
torch.set_num_threads(1)
step = Trainer.train_step
def told(self, inputs):
    loss = step(self, inputs)
    print(self.steps_done, flush=True)
    return loss
Trainer.train_step = told
config = FAST.model_copy(update={"min_steps": 12})
journal = RunState(Path(sys.argv[1]) / "journal")
(done,) = run_end_to_end_trials(study(Path(sys.argv[1]) / "store", journal), config, journal)
print("finished", float(done.encoder_weights["conv_head.weight"].sum()), flush=True)
"""


def plan(folder: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
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
    whole = one(tmp_path / "whole", RunState(), config)
    assert lines[-2] == f"finished {float(whole.encoder_weights['conv_head.weight'].sum())}"


def module(tmp_path: Path, text: str) -> ModuleType:
    path = tmp_path / f"m{len(list(tmp_path.iterdir()))}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_words_about_the_code_do_not_count_and_the_code_does(tmp_path: Path) -> None:
    plain = module(tmp_path, 'def f(x):\n    """Double."""\n    return 2 * x\n')
    retold = module(tmp_path, '"""New."""\n\n\ndef f(x):\n    # twice\n    return (2 * x)\n')
    other = module(tmp_path, 'def f(x):\n    """Double."""\n    return 3 * x\n')
    assert code_fingerprint(plain) == code_fingerprint(retold)
    assert code_fingerprint(plain) != code_fingerprint(other)


@pytest.mark.parametrize(
    ("method", "follows"),
    [("full_random", False), ("full_imagenet", False), ("wise_ft", True), ("flyp", True)],
)
def test_methods_without_language_do_not_depend_on_the_anchors(
    method: str, follows: bool, tmp_path: Path
) -> None:
    made = study(tmp_path, RunState())
    anchors = dataclasses.replace(made.start.anchors, logit_scale=3.0)
    other = dataclasses.replace(made, start=dataclasses.replace(made.start, anchors=anchors))
    arm = TrialKey(method, 1.0, 0)
    assert (made.fingerprint(arm, FAST) != other.fingerprint(arm, FAST)) == follows


def test_only_the_contrastive_method_depends_on_the_prompts(tmp_path: Path) -> None:
    made = study(tmp_path, RunState())
    prompts = dataclasses.replace(made.start.prompts, texts=tuple("abcdef"))
    other = dataclasses.replace(made, start=dataclasses.replace(made.start, prompts=prompts))
    for method, follows in (("wise_ft", False), ("flyp", True)):
        arm = TrialKey(method, 1.0, 0)
        assert (made.fingerprint(arm, FAST) != other.fingerprint(arm, FAST)) == follows


def test_other_labels_are_another_arm(tmp_path: Path) -> None:
    made = study(tmp_path, RunState())
    other = dataclasses.replace(made, target=np.roll(made.target, 1))
    arm = TrialKey("full_imagenet", 1.0, 0)
    assert made.fingerprint(arm, FAST) != other.fingerprint(arm, FAST)


def test_each_class_gives_its_share_and_a_lone_photograph_stays() -> None:
    target = np.array([0] * 20 + [1] * 4 + [2])
    out = held_out_rows(target, 0.1, seed=0)
    assert np.bincount(target[out], minlength=3).tolist() == [2, 1, 0]
    assert (held_out_rows(target, 0.1, seed=0) == out).all()
    assert any((held_out_rows(target, 0.1, seed=s) != out).any() for s in range(1, 5))


SMALL_PLAN = EndToEndConfig(
    methods="full_imagenet+flyp", fractions="0.1+1.0", batch_size=10, epochs=8, min_steps=100,
    refit_below=200, held_out_share=0.1,
)  # fmt: skip


def test_a_plan_by_hand() -> None:
    table = estimate(SMALL_PLAN, {0.1: 100, 1.0: 1000}, {"full_imagenet": 50.0, "flyp": 25.0}, 10)
    assert table["method"].tolist() == ["full_imagenet", "flyp"] * 2
    # 90 images are 72 steps, so the least of 100; all 100 again are 80, so 100 once more.
    assert table["steps"].tolist() == [200, 200, 720, 720]
    assert table["hours"].tolist() == pytest.approx([40 / 3600, 80 / 3600, 144 / 3600, 288 / 3600])
    assert table["disk_bytes"].tolist() == [80] * 4


def test_a_study_is_estimated_from_a_short_trial(tmp_path: Path) -> None:
    config = FAST.model_copy(update={"methods": ("full_imagenet", "last_blocks")})
    table = estimate_study(study(tmp_path, RunState()), config, timed_steps=1)
    assert (table["hours"] > 0).all()
    assert (table["steps"] == 4).all()
    assert table["disk_bytes"].min() > 2 * 4 * 3_000_000


@pytest.fixture
def evaluated(tmp_path: Path) -> tuple[EndToEndTrial, EndToEndPredictions]:
    journal = RunState()
    made = study(tmp_path, journal)
    (done,) = run_end_to_end_trials(made, FAST, journal)
    classes = ("a", "b", "c")
    return done, EndToEndPredictions(made.images, classes, "lite0", FAST.views, journal)


def test_test_logits_are_those_of_the_trials_predictor(
    evaluated: tuple[EndToEndTrial, EndToEndPredictions],
) -> None:
    done, predictions = evaluated
    images = [predictions.images.store.get(i) for i in range(18)]
    predictions.add(done)
    ((name, make),) = predictions.predictors().items()
    assert name == folder_name(done.fitted.key) == "full_imagenet-1-0"
    probabilities = make().predict_images(images)
    logits = predictions.evaluate(done)
    np.testing.assert_array_equal(logits.argmax(axis=1), probabilities.argmax(axis=1))


def test_a_trial_sees_the_test_images_once(
    evaluated: tuple[EndToEndTrial, EndToEndPredictions], monkeypatch: pytest.MonkeyPatch
) -> None:
    done, predictions = evaluated
    assert predictions.logits(done.fitted.key, done.fingerprint) is None
    first = predictions.evaluate(done)

    def refuse(*args: object) -> None:
        raise AssertionError("the test images were used again")

    monkeypatch.setattr(end_to_end_study, "pooled_image_features", refuse)
    np.testing.assert_array_equal(predictions.evaluate(done), first)
    assert predictions.logits(done.fitted.key, "other") is None
