import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.fewshot import study
from sports_clip_pipeline.fewshot.study import (
    StudyData,
    describe_plan,
    estimate_plan,
    plan_trials,
    run_study,
    schedule_trials,
)
from sports_clip_pipeline.fewshot.trial import FittedTrial, TrialKey
from sports_clip_pipeline.io.fingerprint import code_digest
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
from tests.fewshot.factories import FAST, changed, study_data

LINEAR = changed(FAST, select=("logreg", "logreg_clip_text_init"))


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toy problems are slower on several threads, and far slower where others work as well."""
    monkeypatch.setattr(study, "cores", lambda: 1)


def run(
    config: FinetuneConfig, state: RunState, data: StudyData | None = None
) -> list[FittedTrial]:
    return list(run_study(data or study_data(), config, state))


def refitted(config: FinetuneConfig, state: RunState, data: StudyData | None = None) -> set[str]:
    return {found.key.method for found in run(config, state, data) if not found.reused}


def test_the_plan_has_every_method_at_every_fraction_and_seed() -> None:
    keys = plan_trials(FinetuneConfig())
    assert len(keys) == len({key.path for key in keys}) == 3 * (4 * 5 + 2 * 3 + 1)
    assert keys[0] == TrialKey("notebook_mlp", 1.0, 0)
    fractions = [key.label_fraction for key in keys]
    assert fractions == sorted(fractions, reverse=True)
    few = FinetuneConfig(select="logreg", fractions="0.1+0.5", seeds=2)
    assert plan_trials(few) == [
        TrialKey("logreg", fraction, seed) for fraction in (0.5, 0.1) for seed in (0, 1)
    ]


def test_finished_trials_are_reused(tmp_path: Path) -> None:
    first = run(FAST, RunState(tmp_path))
    second = run(FAST, RunState(tmp_path))
    assert [f.reused for f in first] == [False] * 9
    assert [f.reused for f in second] == [True] * 9
    features = study_data().features
    by_key = {f.key: f for f in first}
    for again in second:
        once = by_key[again.key]
        np.testing.assert_array_equal(again.fit.head(features), once.fit.head(features))
        np.testing.assert_array_equal(again.fit.held_out, once.fit.held_out)
        assert again.without_arrays() == replace(once.without_arrays(), reused=True)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("logreg", {"c": [5.0]}),
        ("logreg_clip_text_init", {"c": [0.2]}),
        ("notebook_mlp", {"lr": 0.01}),
    ],
)
def test_a_changed_setting_refits_the_one_method_that_reads_it(method: str, settings: dict) -> None:
    state = RunState()
    config = changed(FAST, fractions=(0.2,), seeds=1)
    run(config, state)
    other = changed(config, methods=FAST.methods | {method: settings})
    assert refitted(other, state) == {method}


def test_a_changed_plan_refits_nothing_and_other_folds_all() -> None:
    state = RunState()
    run(LINEAR, state)
    for change in ({"workers": 0, "fractions": (1.0,)}, {"seeds": 1}, {"select": ("logreg",)}):
        assert not refitted(changed(LINEAR, **change), state)
    assert refitted(changed(LINEAR, folds=2), state) == set(LINEAR.selected)


def test_other_features_ranks_or_zero_shot_weights_refit_all() -> None:
    state, data = RunState(), study_data()
    other = data.splits.assign(rank_seed_0=data.splits["rank_seed_1"])
    for change in (
        {"features": data.features + 0.01},
        {"splits": other},
        {"pretrained": replace(data.pretrained, logit_scale=10.0)},
    ):
        run(LINEAR, state, data)
        assert refitted(LINEAR, state, replace(data, **change)) == set(LINEAR.selected)


def test_several_processes_fit_what_one_fits() -> None:
    config = changed(LINEAR, fractions=(1.0,))
    alone = {f.key: f.fit for f in run(config, RunState())}
    together = {f.key: f.fit for f in run(changed(config, workers=2), RunState())}
    assert alone.keys() == together.keys()
    features = study_data().features
    for key, fit in alone.items():
        np.testing.assert_allclose(together[key].head(features), fit.head(features), atol=1e-3)
        assert together[key].hyperparameters == fit.hyperparameters


def test_a_fraction_that_leaves_a_class_empty_stops_before_the_first_trial() -> None:
    trials = run_study(study_data(), changed(FAST, fractions=(0.01, 1.0)), RunState())
    with pytest.raises(UserFacingError, match=r"0\.01"):
        next(trials)


def test_a_method_sees_the_labels_of_its_subset_alone() -> None:
    data, key = study_data(), TrialKey("logreg", 0.2, 1)
    rows = data.labelled(key, 3)
    assert np.bincount(rows.target).tolist() == [4, 4, 4]
    ranks = data.splits["rank_seed_1"].to_numpy()
    np.testing.assert_array_equal(rows.features, data.features[ranks < 4])
    np.testing.assert_array_equal(data.unlabelled(key), data.features[ranks >= 4])


SLOW = changed(FAST, methods={"notebook_mlp": {"steps": [700]}}, seeds=5)
SCRIPT = """
import sys
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.fewshot import study
from tests.fewshot.factories import study_data
from tests.fewshot.test_study import SLOW
study.cores = lambda: 1
for fitted in study.run_study(study_data(), SLOW, RunState(sys.argv[1])):
    print(fitted.key.path, flush=True)
"""


def test_a_study_that_was_killed_resumes_from_its_finished_trials(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment
    )
    assert process.stdout is not None
    done = [process.stdout.readline().strip() for _ in range(2)]
    process.kill()
    assert process.wait() == -signal.SIGKILL
    done += [line.strip() for line in process.stdout]
    process.stdout.close()
    assert 2 <= len(done) < 6, "the kill came too late to test anything"
    resumed = run(SLOW, RunState(tmp_path))
    assert len(resumed) == 6
    assert {f.key.path for f in resumed if f.reused} >= set(done)
    assert any(not f.reused for f in resumed)


CODE_SCRIPT = SCRIPT.replace("SLOW", "LINEAR").replace("path, flush=True", "method, fitted.reused")


def test_edited_code_fits_the_trials_that_depend_on_it_again_and_a_comment_does_not(
    tmp_path: Path,
) -> None:
    root, copy = Path(__file__).parents[2], tmp_path / "src" / "sports_clip_pipeline"
    shutil.copytree(root / "src" / copy.name, copy)
    environment = {**os.environ, "PYTHONPATH": f"{copy.parent}{os.pathsep}{root}"}

    def refitted() -> set[str]:
        command = [sys.executable, "-c", CODE_SCRIPT, str(tmp_path / "state")]
        lines = subprocess.check_output(command, text=True, cwd=tmp_path, env=environment)
        return {line.split()[0] for line in lines.splitlines() if line.endswith("False")}

    both = {"logreg", "logreg_clip_text_init"}
    assert refitted() == both
    for module in ("predictor/head.py", "fewshot/linear.py"):
        path = copy / module
        path.write_text(path.read_text() + "\n\n# A comment.\n")
    assert refitted() == set()
    path.write_text(path.read_text() + "\n\n_CONSTANT = 1\n")
    assert refitted() == both


@pytest.mark.parametrize(
    ("edited", "changed"),
    [
        ("data/splits.py", {"linear", "adapters", "semi_supervised"}),
        ("clip/projections.py", {"linear", "adapters", "semi_supervised"}),
        ("predictor/head.py", {"linear", "adapters", "semi_supervised"}),
        ("fewshot/softmax_solver.py", {"linear", "adapters", "semi_supervised"}),
        ("fewshot/adapters.py", {"adapters"}),
        ("fewshot/semi_supervised.py", {"semi_supervised"}),
        ("report/page.py", set()),
    ],
)
def test_a_constant_of_any_layer_changes_the_code_of_the_methods_above_it(
    edited: str, changed: set[str], tmp_path: Path
) -> None:
    source = Path(study.__file__).parents[1]
    package = tmp_path / source.name
    shutil.copytree(source, package)

    def digests() -> dict[str, tuple[str, str]]:
        above = f"{source.name}.fewshot."
        return {
            name: (code_digest(above + "study", package), code_digest(above + name, package))
            for name in ("linear", "adapters", "semi_supervised")
        }

    before = digests()
    path = package / edited
    path.write_text(path.read_text() + "\n\n_CONSTANT = 1\n")
    after = digests()
    assert {name for name in before if before[name] != after[name]} == changed


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


def keys_of(*subsets: tuple[float, int], methods: str = "ab") -> list[TrialKey]:
    return [TrialKey(method, fraction, seed) for fraction, seed in subsets for method in methods]


def scheduled(keys: list[TrialKey], *finishing: int) -> list[tuple[int, TrialKey]]:
    """Worker and trial of each start; once four have begun, a trial of each of `finishing` ends."""
    order: list[tuple[int, TrialKey]] = []
    running: tuple[list[Future[None]], ...] = ([], [])
    left = list(finishing)

    class Worker(Executor):
        def __init__(self, number: int) -> None:
            self.number = number

        def submit(self, fit: object, key: TrialKey) -> Future[None]:  # type: ignore[override]
            order.append((self.number, key))
            running[self.number].append(future := Future())
            if len(order) >= 4:
                running[left.pop(0)].pop(0).set_result(None)
            return future

    results = schedule_trials(keys, lambda key: None, [Worker(0), Worker(1)])
    for _ in finishing:
        next(results)
    return order


def test_a_worker_stays_with_its_subset() -> None:
    assert scheduled(keys_of((1.0, 0), (0.5, 0), (0.5, 1)), 1, 1, 0) == [
        (0, TrialKey("a", 1.0, 0)), (1, TrialKey("a", 0.5, 0)),
        (0, TrialKey("b", 1.0, 0)), (1, TrialKey("b", 0.5, 0)),
        (1, TrialKey("a", 0.5, 1)), (1, TrialKey("b", 0.5, 1)),
    ]  # fmt: skip


def test_a_worker_without_a_subset_of_its_own_takes_the_last_trial() -> None:
    order = scheduled(keys_of((1.0, 0), methods="abcd"), 0)
    assert [(worker, key.method) for worker, key in order] == [
        (0, "a"), (1, "d"), (0, "b"), (1, "c"),
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_trial_is_fitted_once_by_however_many_workers(count: int) -> None:
    plan = keys_of((1.0, 0), (0.5, 0), (0.5, 1), methods="abc")
    workers = [ThreadPoolExecutor(1) for _ in range(count)]
    names = schedule_trials(plan, lambda key: key.name, workers)
    assert sorted(names) == sorted(key.name for key in plan)


def test_an_error_of_a_fit_is_raised() -> None:
    def fail(key: TrialKey) -> None:
        raise ValueError(key.name)

    with pytest.raises(ValueError, match="a/1/0"):
        list(schedule_trials(keys_of((1.0, 0)), fail, [ThreadPoolExecutor(1)]))


def test_an_estimate_counts_trials_and_finished_ones() -> None:
    state, data = RunState(), study_data()
    before = estimate_plan(data, LINEAR, state)
    assert before["trials"].tolist() == [3, 3]
    assert before["finished"].tolist() == [0, 0]
    assert (before["hours"] > 0).all() and (before["disk_bytes"] > 0).all()
    run(changed(LINEAR, select=("logreg",)), state, data)
    after = estimate_plan(data, LINEAR, state)
    assert after["finished"].tolist() == [3, 0]
    assert after["hours"][0] == 0.0


def test_a_plan_is_described_by_method_with_the_sum() -> None:
    table = {"method": ["gda", "ridge"], "trials": [3, 2], "finished": [1, 0]}
    plan = pd.DataFrame(table | {"hours": [0.5, 0.25], "disk_bytes": [2e6, 3e6]})
    gda, ridge, total = describe_plan(plan).splitlines()
    assert gda.split()[:5] == ["gda", "3", "trials,", "1", "finished,"]
    assert "30.0 min" in gda and "15.0 min" in ridge
    assert total.startswith("all") and "45.0 min" in total and "5.0 MB" in total
    per_trial = pd.DataFrame({"method": ["flyp"] * 2, "hours": [1.0] * 2, "disk_bytes": [1e6] * 2})
    first, _ = describe_plan(per_trial).splitlines()
    assert first.split()[:3] == ["flyp", "2", "trials,"]
    assert "120.0 min" in first
