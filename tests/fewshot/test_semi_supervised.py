from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from sports_clip_pipeline.fewshot.base import METHODS, Fit, Labelled, Task, method_class
from sports_clip_pipeline.fewshot.discriminant import LinearClassifier
from sports_clip_pipeline.fewshot.ensemble import LogregBlend
from sports_clip_pipeline.fewshot.semi_supervised import (
    GdaEm,
    Pool,
    PseudoLabels,
    Teacher,
    neighbour_graph,
    propagate,
    stack_components,
)
from sports_clip_pipeline.fewshot.softmax_solver import SoftmaxProblem
from sports_clip_pipeline.predictor.head import Head, affine, softmax
from tests.fewshot.factories import WIDTH, labelled, pretrained, toy

RNG = np.random.default_rng(0)
C = LogregBlend().c
ROWS, OTHERS = labelled(45, 3), toy(40, 3, seed=50)[0]
TEXT = pretrained(3, space="all_encoders")
POOL = Pool.of(Task(ROWS, TEXT, 0, OTHERS), 100)
TEACHER = Teacher.of(POOL, TEXT, C)
ALL = np.vstack([ROWS.features, OTHERS])


def test_labelled_images_come_first_in_the_pool() -> None:
    np.testing.assert_allclose(POOL.columns, Head(TEXT.scaled(root=True))(ALL), atol=1e-6)
    np.testing.assert_allclose(POOL.text, TEXT.zero_shot_head()(ALL), atol=1e-5)
    none, empty = (
        Pool.of(Task(ROWS, TEXT, 0, others), 100).rows
        for others in (None, np.zeros((0, WIDTH), dtype=np.float32))
    )
    np.testing.assert_array_equal(none, empty)


def test_a_fold_hides_its_images_and_its_labels() -> None:
    out = np.flatnonzero(ROWS.fold == 1)
    assert POOL.folds() == [0, 1, 2]
    np.testing.assert_array_equal(POOL.held_out(1), out)
    np.testing.assert_array_equal(np.flatnonzero(POOL.target(1) == -2), out)
    assert (POOL.target(1) >= 0).sum() == 45 - len(out)
    np.testing.assert_array_equal(POOL.target(None), [*ROWS.target, *[-1] * 40])


def test_the_class_prior_is_smoothed_towards_even_shares() -> None:
    pool = Pool.of(Task(ROWS.where(ROWS.target < 2), TEXT, 0, None), 100)
    # 15, 15 and 0 labels, and 5 more of each.
    np.testing.assert_allclose(pool.prior(None), np.array([20, 20, 5]) / 45)


def test_the_teacher_is_the_supervised_blend() -> None:
    blend = LogregBlend().fit(Task(ROWS, TEXT))
    assert TEACHER.fit.hyperparameters == pytest.approx(blend.hyperparameters)
    log_probs = log_softmax(blend.head(ALL), axis=1)
    np.testing.assert_allclose(TEACHER.log_probs[None], log_probs, atol=1e-3)
    for fold in range(3):
        out = np.flatnonzero(ROWS.fold == fold)
        np.testing.assert_allclose(
            softmax(TEACHER.log_probs[fold][out]), TEACHER.fit.held_out[out], atol=1e-3
        )


def test_a_folds_teacher_does_not_depend_on_its_labels() -> None:
    target = ROWS.target.copy()
    out = np.flatnonzero(ROWS.fold == 1)[:4]
    target[out] = (target[out] + 1) % 3
    one, other = (
        Teacher.of(Pool.of(Task(rows, TEXT, 0, OTHERS), 100), TEXT, (30.0,)).log_probs
        for rows in (ROWS, replace(ROWS, target=target))
    )

    def unexplained(fold: int) -> float:
        """Share that another weight of the same probe, and of the text, does not account for."""
        parts = [one[fold], other[fold], TEXT.zero_shot_head()(ALL)]
        first, second, text = ((part - part.mean(1, keepdims=True)).ravel() for part in parts)
        return np.linalg.lstsq(np.stack([first, text], 1), second)[1].item() / (second @ second)

    assert unexplained(1) < 1e-5 < 1e-3 < unexplained(0)


def component(prior_strength: float = 0.3) -> LinearClassifier:
    weight = RNG.normal(size=(3, POOL.rows.shape[1])).astype(np.float32)
    return LinearClassifier(weight, RNG.normal(size=3).astype(np.float32), prior_strength)


def test_component_logits_by_hand() -> None:
    one = LinearClassifier(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0.5, -1.0]), 2.0)
    logits = one(np.array([[1.0, 3.0]]), np.array([[-1.0, -2.0]]))
    np.testing.assert_allclose(logits, [[2 + 0.5 - 2, 3 - 1 - 4]])


def test_the_stacked_head_is_the_weighted_sum_of_the_components_and_the_teacher() -> None:
    components = {"one": component(), "two": component(0.0)}
    found = stack_components(POOL, TEACHER, lambda fold: components)
    features, _ = toy(20, 3, seed=8)
    teacher = TEACHER.fit.head(features)
    rows = POOL.space.rows(Head(TEXT.scaled(root=True))(features))
    weights = found.hyperparameters
    expected = weights["teacher_weight"] * teacher
    for name, one in components.items():
        expected = expected + weights[f"{name}_weight"] * one(rows, teacher)
    np.testing.assert_allclose(found.head(features), expected, atol=1e-3)


def test_a_component_of_noise_leaves_the_teacher() -> None:
    noise = 20 * RNG.normal(size=(4, 3, POOL.rows.shape[1])).astype(np.float32)

    def learn(fold: int | None) -> dict[str, LinearClassifier]:
        return {"noise": LinearClassifier(noise[3 if fold is None else fold], np.zeros(3))}

    found = stack_components(POOL, TEACHER, learn)
    features, _ = toy(60, 3, seed=8)
    same = found.head(features).argmax(axis=1) == TEACHER.fit.head(features).argmax(axis=1)
    assert same.mean() > 0.95
    assert found.cv_log_loss <= TEACHER.fit.cv_log_loss + 1e-4


def test_every_label_is_held_out_once_from_the_components() -> None:
    folds = []

    def learn(fold: int | None) -> dict[str, LinearClassifier]:
        folds.append(fold)
        return {"one": component()}

    found = stack_components(POOL, TEACHER, learn)
    assert folds == [0, 1, 2, None]
    np.testing.assert_allclose(found.held_out.sum(axis=1), 1.0, atol=1e-5)
    own = found.held_out[np.arange(45), ROWS.target]
    assert -np.log(own).mean() == pytest.approx(found.cv_log_loss, abs=1e-4)


@pytest.mark.parametrize(
    "weight_of",
    [
        lambda pool: GdaEm().mixture(pool, TEACHER, 2)[0].weight,
        lambda pool: list(PseudoLabels(rounds=2).probes(pool, 2))[-1].weight,
    ],
    ids=["gda_em", "pseudo_labels"],
)
def test_a_folds_images_are_not_used(weight_of) -> None:
    rows = POOL.rows.copy()
    rows[POOL.held_out(2)] = 9.0
    np.testing.assert_array_equal(weight_of(POOL), weight_of(replace(POOL, rows=rows)))


def naive_graph(rows: np.ndarray, neighbours: int) -> np.ndarray:
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    weight = np.zeros((len(rows), len(rows)))
    for i in range(len(rows)):
        cosine = rows @ rows[i]
        others = sorted((j for j in range(len(rows)) if j != i), key=lambda j: -cosine[j])
        for j in others[:neighbours]:
            weight[i, j] = max(cosine[j], 0.0) ** 3
    weight += weight.T
    degree = np.sqrt(weight.sum(axis=1))
    return weight / np.outer(degree, degree)


POINTS = RNG.normal(size=(30, 5)).astype(np.float32)


@pytest.mark.parametrize("neighbours", [4, 100])
def test_the_graph_is_that_of_a_naive_loop(
    neighbours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sports_clip_pipeline.fewshot.semi_supervised.BLOCK", 8)
    graph = neighbour_graph(POINTS, neighbours).toarray()
    np.testing.assert_allclose(graph, naive_graph(POINTS, neighbours), atol=1e-6)
    np.testing.assert_array_equal(np.diag(graph), 0.0)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.95])
def test_propagation_is_the_closed_form(alpha: float) -> None:
    graph, start = neighbour_graph(POINTS, 4), np.eye(30, 2)
    closed = (1 - alpha) * np.linalg.solve(np.eye(30) - alpha * graph.toarray(), start)
    np.testing.assert_allclose(propagate(graph, start, alpha, 1e-8), closed, atol=1e-7)


def test_labels_stay_in_their_component_of_the_graph() -> None:
    points = np.repeat(np.eye(4)[[0, 2]], 8, axis=0) + RNG.normal(0, 0.05, (16, 4))
    start = np.zeros((16, 2))
    start[0, 0] = start[15, 1] = 1.0
    spread = propagate(neighbour_graph(points.astype(np.float32), 3), start, 0.9)
    np.testing.assert_array_equal(spread[:8, 1], 0.0)
    np.testing.assert_array_equal(spread[8:, 0], 0.0)
    assert (spread[:8, 0] > 0.0).all()


def test_pseudo_labels_are_weighted_as_published() -> None:
    method = PseudoLabels(rounds=2, weight=3.0)
    first, second, last = method.probes(POOL, None)

    def solved(target: np.ndarray, weight: np.ndarray) -> np.ndarray:
        rows, weight = POOL.rows[: len(target)], weight.astype(np.float32)
        problem = SoftmaxProblem(rows, target, 3, weight, max_iterations=60)
        return problem.solve(method.c).weight

    np.testing.assert_array_equal(first.weight, solved(ROWS.target, np.ones(45)))
    # Mean loss of 45 labels + 3 × mean loss of 40 pseudo-labels, times 45.
    target = np.r_[ROWS.target, second(POOL.rows[45:]).argmax(axis=1)]
    weight = np.r_[np.ones(45), np.full(40, 3.0 * 45 / 40)]
    np.testing.assert_allclose(last.weight, solved(target, weight), atol=1e-5)


NAMES = [name for name, spec in METHODS.items() if spec.unlabelled]
UNLABELLED = toy(400, 4, seed=50)[0]
TEST, TRUTH = toy(200, 4, seed=7)
FOUR = pretrained(4, space="all_encoders")


def fit(name: str, rows: Labelled, others: np.ndarray | None = UNLABELLED) -> Fit:
    return method_class(name)().fit(Task(rows, FOUR, 0, others))


def accuracy(found: Fit) -> float:
    return float((found.head(TEST).argmax(axis=1) == TRUTH).mean())


def noisy(rows: int) -> Labelled:
    """Labelled rows whose classes overlap, so that few labels leave something to learn."""
    found = labelled(rows, 4)
    noise = np.abs(np.random.default_rng(0).normal(0, 0.35, found.features.shape))
    return replace(found, features=(found.features + noise).astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_unlabelled_images_does_not_matter(name: str) -> None:
    order = np.random.default_rng(0).permutation(len(UNLABELLED))
    one, two = (fit(name, noisy(24), others) for others in (UNLABELLED, UNLABELLED[order]))
    first, second = (found.head(TEST) / found.temperature for found in (one, two))
    np.testing.assert_allclose(second, first, atol=0.2)
    assert (first.argmax(axis=1) == second.argmax(axis=1)).mean() > 0.99


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("others", [None, np.zeros((0, WIDTH), dtype=np.float32)])
def test_without_unlabelled_images_the_labels_are_learned(
    name: str, others: np.ndarray | None
) -> None:
    found = fit(name, labelled(80, 4), others)
    assert accuracy(found) > 0.9
    assert found.cv_top1 > 0.8


@pytest.mark.parametrize("name", [name for name in NAMES if name != "pseudo_labels"])
def test_a_stacked_method_is_not_worse_than_its_teacher(name: str) -> None:
    teacher, found = LogregBlend().fit(Task(noisy(40), FOUR)), fit(name, noisy(40))
    assert found.cv_top1 >= teacher.cv_top1 - 0.03
    assert accuracy(found) >= accuracy(teacher) - 0.02


def test_em_learns_from_clusters_what_two_labels_a_class_do_not_tell() -> None:
    no_text = replace(FOUR, zero_shot=Head((affine(np.zeros((4, WIDTH))),)))
    found, teacher = (
        accuracy(method_class(name)().fit(Task(noisy(8), no_text, 0, UNLABELLED)))
        for name in ("gda_em", "logreg_blend")
    )
    assert found >= teacher
    assert found > 0.95
