from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.fewshot import study
from sports_clip_pipeline.fewshot.base import METHODS
from sports_clip_pipeline.fewshot.study import StudyData, plan_trials, run_study
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey
from sports_clip_pipeline.io.state import DiskJournal, Journal
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
from tests.fewshot.factories import FAST, changed, study_data


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toy problems are slower on several threads, and far slower where others work as well."""
    monkeypatch.setattr(study, "cores", lambda: 1)


LINEAR = changed(FAST, select=("logreg", "logreg_clip_text_init"))


def run(
    config: FinetuneConfig, journal: Journal, data: StudyData | None = None
) -> list[FittedTrial]:
    return list(run_study(data or study_data(), config, journal))


def refitted(config: FinetuneConfig, journal: Journal, data: StudyData | None = None) -> set[str]:
    return {found.key.method for found in run(config, journal, data) if not found.reused}


def test_the_plan_has_every_method_at_every_fraction_and_seed() -> None:
    arms = plan_trials(FinetuneConfig())
    assert len(arms) == len(set(arms)) == 3 * (4 * 5 + 2 * 3 + 1)
    assert arms[0] == TrialKey("notebook_mlp", 1.0, 0)
    assert [arm.label_fraction for arm in arms] == sorted(
        (a.label_fraction for a in arms), reverse=True
    )
    assert len({arm.path for arm in arms}) == len(arms)
    few = FinetuneConfig(select="logreg", fractions="0.1+0.5", seeds=2)
    assert plan_trials(few) == [
        TrialKey("logreg", fraction, seed) for fraction in (0.5, 0.1) for seed in (0, 1)
    ]


def test_an_unchanged_study_is_read_back_whole(tmp_path: Path) -> None:
    first = run(FAST, DiskJournal(tmp_path))
    second = run(FAST, DiskJournal(tmp_path))
    assert [f.reused for f in first] == [False] * 9
    assert [f.reused for f in second] == [True] * 9
    features = study_data().features
    by_arm = {f.key: f for f in first}
    for again in second:
        once = by_arm[again.key]
        np.testing.assert_array_equal(again.fit.head(features), once.fit.head(features))
        np.testing.assert_array_equal(again.fit.held_out, once.fit.held_out)
        same = dataclasses.replace(again.fit, head=once.fit.head, held_out=None)
        assert same == dataclasses.replace(once.fit, held_out=None)
        assert (again.labels, again.elapsed_s) == (once.labels, once.elapsed_s)


@pytest.mark.parametrize(
    ("change", "method"),
    [
        ({"logreg": {"c": [5.0]}}, "logreg"),
        ({"logreg_clip_text_init": {"c": [0.2]}}, "logreg_clip_text_init"),
        ({"notebook_mlp": {"lr": 0.01}}, "notebook_mlp"),
        ({"notebook_mlp": {"steps": [10]}}, "notebook_mlp"),
    ],
)
def test_a_changed_setting_refits_the_one_method_that_reads_it(change: dict, method: str) -> None:
    journal = Journal()
    config = changed(FAST, fractions=(0.2,), seeds=1)
    run(config, journal)
    assert refitted(changed(config, methods=FAST.methods | change), journal) == {method}


def test_the_plan_and_the_processes_refit_nothing_and_the_folds_all() -> None:
    journal = Journal()
    run(FAST, journal)
    for change in (
        {"workers": 0, "fractions": (1.0,)},
        {"seeds": 1},
        {"select": ("logreg",)},
    ):
        assert not refitted(changed(FAST, **change), journal)
    assert refitted(changed(FAST, folds=2), journal) == set(FAST.methods)


def test_other_features_labels_or_ranks_refit_all() -> None:
    journal, data = Journal(), study_data()
    run(LINEAR, journal, data)
    other = data.splits.copy()
    other["rank_seed_0"] = data.splits["rank_seed_1"]
    for change in (
        {"features": data.features + 0.01},
        {"splits": other},
        {"pretrained": dataclasses.replace(data.pretrained, logit_scale=10.0)},
    ):
        assert refitted(LINEAR, journal, dataclasses.replace(data, **change)) == set(
            LINEAR.selected
        )
        run(LINEAR, journal, data)


def test_several_processes_fit_what_one_fits() -> None:
    config = changed(LINEAR, fractions=(1.0,))
    alone = {f.key: f.fit for f in run(config, Journal())}
    together = {f.key: f.fit for f in run(changed(config, workers=2), Journal())}
    assert alone.keys() == together.keys()
    features = study_data().features
    for arm, fit in alone.items():
        np.testing.assert_allclose(together[arm].head(features), fit.head(features), atol=1e-3)
        assert together[arm].hyperparameters == fit.hyperparameters


def test_a_fraction_that_leaves_a_class_empty_stops_before_the_first_arm() -> None:
    journal = Journal()
    with pytest.raises(UserFacingError, match=r"0\.01"):
        run(changed(FAST, fractions=(0.01, 1.0)), journal)
    assert not journal._states


def test_a_method_sees_the_labelled_rows_alone() -> None:
    data = study_data()
    arm = TrialKey("logreg", 0.2, 1)
    rows = data.labelled(arm, 3)
    assert np.bincount(rows.target).tolist() == [4, 4, 4]
    ranks = data.splits["rank_seed_1"].to_numpy()
    np.testing.assert_array_equal(rows.features, data.features[ranks < 4])


def test_a_study_has_no_room_for_evaluation_images() -> None:
    assert {f.name for f in dataclasses.fields(StudyData)} == {
        "features",
        "target",
        "splits",
        "pretrained",
    }


SWEEP = """
import sys
from sports_clip_pipeline.io.state import DiskJournal
from sports_clip_pipeline.fewshot.study import run_study
from tests.fewshot.factories import FAST, changed, study_data
study.cores = lambda: 1
slow = changed(FAST, methods={"notebook_mlp": {"steps": [700]}}, seeds=5)
for fitted in run_study(study_data(), slow, DiskJournal(sys.argv[1])):
    print(fitted.key.path, fitted.reused, flush=True)
"""


def test_a_sweep_killed_by_the_system_goes_on_from_its_finished_arms(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SWEEP, str(tmp_path)]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    sweep = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment)
    assert sweep.stdout is not None
    done = [sweep.stdout.readline().split()[0] for _ in range(2)]
    os.kill(sweep.pid, signal.SIGKILL)
    assert sweep.wait() == -signal.SIGKILL
    done += [line.split()[0] for line in sweep.stdout]
    sweep.stdout.close()
    assert 2 <= len(done) < 6, "the kill came too late to test anything"
    time.sleep(0.1)

    config = changed(FAST, methods={"notebook_mlp": {"steps": [700]}}, seeds=5)
    resumed = run(config, DiskJournal(tmp_path))
    assert len(resumed) == 6
    assert {f.key.path for f in resumed if f.reused} >= set(done)
    assert any(not f.reused for f in resumed)


def test_a_trial_depends_on_the_modules_its_method_imports_and_on_no_others() -> None:
    names = [module.__name__.rsplit(".", 1)[1] for module in study._code(METHODS["gda_blend"])]
    assert {"ensemble", "discriminant", "subspace", "cross_validation"} <= set(names)
    assert not {"adapters", "semi_supervised", "study"} & set(names)


def test_wrong_settings_of_a_method_are_named_when_the_configuration_is_built() -> None:
    for methods, named in (
        ({"ridge": {"alpha": [-1.0]}}, r"methods\.ridge\.alpha"),
        ({"ridge": {"beta": 1.0}}, r"methods\.ridge\.beta"),
        ({"svm": {}}, "'svm'"),
    ):
        with pytest.raises(UserFacingError, match=named):
            FinetuneConfig(methods=methods)
    with pytest.raises(UserFacingError, match="'svm'"):
        FinetuneConfig(select="ridge+svm")
    assert FinetuneConfig(select="ridge+gda").selected == ("ridge", "gda")
