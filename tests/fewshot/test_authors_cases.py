"""The published implementations' numbers, on inputs drawn from a seed.

`data/authors_cases.json` holds what the authors' own code, named in it, returned for these inputs.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.clip.projections import Pretrained
from sports_clip_pipeline.fewshot.adapters import ProjectionProblem, TipAdapterF, build_cache
from sports_clip_pipeline.fewshot.base import Labelled
from sports_clip_pipeline.fewshot.discriminant import solve_gda
from sports_clip_pipeline.fewshot.linear import clap_objective, clap_penalty
from sports_clip_pipeline.fewshot.softmax_solver import SoftmaxProblem, SoftmaxWeights
from tests.fewshot.factories import unit

PATH = Path(__file__).parent / "data" / "authors_cases.json"
CASES = json.loads(PATH.read_text())
CLASSES, SHOTS, WIDTH, POOLED = 4, 5, 6, 9
BETA, ALPHA, LR, STEPS = 5.5, 3.0, 0.01, (1, 5, 20)
RNG = np.random.default_rng(2024)
TARGET = RNG.permutation(np.arange(CLASSES * SHOTS) % CLASSES)
TEXT = unit(1.0 + 0.1 * RNG.normal(size=(CLASSES, WIDTH)))
FEATURES = unit(TEXT[TARGET] + 0.1 * RNG.normal(size=(CLASSES * SHOTS, WIDTH)))
NEW = unit(TEXT[np.arange(7) % CLASSES] + 0.1 * RNG.normal(size=(7, WIDTH)))
TEXT_NORMS = RNG.uniform(10.0, 20.0, CLASSES)
PROTOTYPES = TEXT + 0.1 * RNG.normal(size=TEXT.shape)
POOLED_ROWS = np.abs(RNG.normal(size=(CLASSES * SHOTS, POOLED))).astype(np.float32)
WEIGHT, BIAS = RNG.normal(size=(WIDTH, POOLED)), 0.1 * RNG.normal(size=WIDTH)
ROWS = Labelled(FEATURES, TARGET, TARGET, CLASSES)
ZERO_SHOT = 100.0 * NEW @ TEXT.T  # the authors' scale of cosines


def test_tip_adapter_has_the_authors_logits() -> None:
    cache = build_cache(ROWS, SHOTS, seed=0)
    found = ALPHA * cache.head(BETA)(NEW) + ZERO_SHOT
    np.testing.assert_allclose(found, CASES["tip_adapter"]["logits"], atol=1e-4)


@pytest.mark.parametrize("steps", STEPS)
def test_tip_adapter_f_has_the_authors_logits_after_so_many_steps(steps: int) -> None:
    method = TipAdapterF(steps=STEPS, lr=LR, batch_size=len(TARGET))
    offset = 100.0 * FEATURES @ TEXT.T
    trained = method.train(build_cache(ROWS, SHOTS, 0), ROWS, offset, BETA, ALPHA, seed=0)
    found = ALPHA * trained[steps].head(BETA)(NEW) + ZERO_SHOT
    expected = np.array(CASES["tip_adapter_f"]["logits"][STEPS.index(steps)])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(expected - CASES["tip_adapter"]["logits"]).max() > 0.02


def test_gda_has_the_authors_logits_but_for_a_constant_of_each_row() -> None:
    apart = solve_gda(ROWS, (1.0,))[(1.0,)](NEW) - np.array(CASES["gda"]["logits"])
    np.testing.assert_allclose(apart - apart[:, :1], 0.0, atol=1e-3)


def lp_plus_plus(c: float, strength: float) -> tuple[SoftmaxProblem, SoftmaxWeights]:
    text = FEATURES @ TEXT.T
    start = CASES["lp_plus_plus"]["points"][0]["alpha"][0]
    problem = SoftmaxProblem(
        FEATURES, TARGET, CLASSES, text=text, multiplier_prior=start, prior_strength=strength
    )
    return problem, problem.solve(c)


def loss_of(problem: SoftmaxProblem, point: np.ndarray, c: float) -> float:
    """The mean cross-entropy in the objective: less its penalties, a row, divided by c."""
    apart = 0.5 * problem.prior_strength * ((point[:, -1] - problem.multiplier_prior) ** 2).sum()
    value, _ = problem.objective(point, c)
    return (value - 0.5 * (point[:, :-2] ** 2).sum() - apart) / len(TARGET) / c


def test_the_lp_plus_plus_objective_is_the_authors_loss_and_two_penalties() -> None:
    problem, solution = lp_plus_plus(c := 1e3, strength=1e-3)
    for point in CASES["lp_plus_plus"]["points"]:
        columns = np.column_stack([point["weight"], point["bias"], point["alpha"]])
        assert loss_of(problem, columns, c) == pytest.approx(point["loss"], rel=1e-4)
    assert loss_of(problem, np.column_stack(solution), c) < point["loss"]  # after their last epoch


def test_clap_has_the_authors_penalties_and_on_unit_norm_texts_their_loss_in_other_units() -> None:
    """Theirs is of raw texts R t and prototypes R w, that is with λ R² here."""
    case, scale = CASES["clap"], 100.0
    penalty = clap_penalty(ROWS, TEXT, scale)
    np.testing.assert_allclose(penalty, case["multipliers"], rtol=1e-4)
    raw = penalty * TEXT_NORMS**2
    value, gradient = clap_objective(PROTOTYPES, ROWS, TEXT, scale, raw)
    assert value == pytest.approx(case["loss"], rel=1e-5)
    np.testing.assert_allclose(gradient / TEXT_NORMS[:, None], case["gradient"], atol=1e-3)


def test_prolip_has_the_authors_loss_and_a_minimum_below_their_last_step() -> None:
    points = CASES["prolip"]["points"]
    pretrained = Pretrained(TEXT, 100.0, WEIGHT.astype(np.float32), BIAS.astype(np.float32))
    rows = Labelled(POOLED_ROWS, TARGET, TARGET, CLASSES)
    problem = ProjectionProblem(rows, pretrained, pretrained.image_weight)
    assert problem.penalty == pytest.approx(1.0 / SHOTS)
    for point in points:
        value, _ = problem.objective(np.array(point["weight"]))
        assert value == pytest.approx(point["loss"], rel=1e-4)
    assert problem.objective(problem.solve())[0] < points[-1]["loss"] < points[0]["loss"]
