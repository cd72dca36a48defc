"""Stacks semi-supervised classifiers with their supervised teacher.

The teacher (logistic regression with zero-shot) gives unlabelled images log-probabilities to start
from. What is learned from them is weighted against the teacher on held-out labels.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array, diags_array
from scipy.special import log_softmax

from sports_clip_pipeline.clip.projections import Pretrained, unit_norm
from sports_clip_pipeline.fewshot.base import Fit, Labelled, Method, Task
from sports_clip_pipeline.fewshot.cross_validation import fit_from_held_out, select_candidate
from sports_clip_pipeline.fewshot.discriminant import (
    MIXTURE,
    LinearClassifier,
    balanced,
    fit_mixture,
)
from sports_clip_pipeline.fewshot.ensemble import LogregBlend, blend_probe, cross_fit, fit_weights
from sports_clip_pipeline.fewshot.linear import logreg_path
from sports_clip_pipeline.fewshot.softmax_solver import SoftmaxProblem
from sports_clip_pipeline.fewshot.subspace import BLOCK, LinearProbes, PrincipalSpace
from sports_clip_pipeline.parameters import Parameters
from sports_clip_pipeline.predictor.head import Head, blend

TEACHER = "teacher"
# Images of every class that the shares among the labels are smoothed with.
_PRIOR_COUNT = 5.0
_BALANCE_ROUNDS = 20
_GRAPH_POWER = 3
_TINY = 1e-9
# Targets of images that have no class.
_UNLABELLED, _HELD_OUT = -1, -2
_CONFIDENCE = "Unlabelled images weigh their top probability to this power."


@dataclass(frozen=True)
class Pool:
    """N = n + U images, the n labelled ones first.

    Attributes:
        columns: (N, D) float32 scaled features. text: (N, C) zero-shot logits.
        rows: (N, d) float32 in the principal components of the columns.
    """

    labelled: Labelled
    columns: np.ndarray
    text: np.ndarray
    space: PrincipalSpace
    rows: np.ndarray

    @classmethod
    def of(cls, task: Task, components: int) -> Self:
        """Labelled and unlabelled images in at most so many principal components."""
        parts = [task.labelled.features, *([] if task.unlabelled is None else [task.unlabelled])]
        operations, zero_shot = task.pretrained.scaled(root=True), task.pretrained.zero_shot_head()
        columns, text = (
            np.concatenate([head(part) for part in parts]) for head in (Head(operations), zero_shot)
        )
        space = PrincipalSpace.of(columns, operations, components)
        return cls(task.labelled, columns, text, space, space.rows(columns))

    def folds(self) -> list[int]:
        """The folds, in order."""
        return np.unique(self.labelled.fold[self.labelled.fold >= 0]).tolist()

    def held_out(self, fold: int | None) -> np.ndarray:
        """Positions of the fold's images; none for None."""
        return np.flatnonzero(self.labelled.fold == (np.nan if fold is None else fold))

    def target(self, fold: int | None) -> np.ndarray:
        """(N,) int; the class of a labelled row, −1 without a label, −2 for those of the fold."""
        target = np.full(len(self.rows), _UNLABELLED)
        target[: len(self.labelled.target)] = self.labelled.target
        target[self.held_out(fold)] = _HELD_OUT
        return target

    def prior(self, fold: int | None) -> np.ndarray:
        """(C,) smoothed shares of the classes among the labels outside the fold."""
        target = self.target(fold)
        count = np.bincount(target[target >= 0], minlength=self.labelled.classes) + _PRIOR_COUNT
        return count / count.sum()


@dataclass(frozen=True)
class Teacher:
    """The supervised classifier (`logreg_blend`) of a pool.

    Attributes:
        log_probs: (N, C) of all images, without each fold's labels; with all labels, for None.
    """

    fit: Fit
    log_probs: Mapping[int | None, np.ndarray]

    @classmethod
    def of(cls, pool: Pool, pretrained: Pretrained, strengths: tuple[float, ...]) -> Self:
        """Logistic regression with zero-shot; cross-validation chooses among the strengths."""
        task = Task(pool.labelled, pretrained)
        probes = LinearProbes.of(task)
        fit = blend_probe(task, logreg_path, strengths, "c")
        setting, labelled = (fit.hyperparameters["c"],), pool.labelled
        logits, candidates = probes.held_out(logreg_path, strengths)
        pair = logits[setting], pool.text[: len(labelled.target)]
        _, without = cross_fit(pair, labelled.target, labelled.fold)
        both = [fit.hyperparameters[name] for name in ("probe_weight", "zero_shot_weight")]
        weights: dict[Any, Any] = {None: both, **without}
        heads: dict[int | None, Head] = {None: probes.fit(logreg_path, setting)}
        heads |= {fold: heads_of_fold[setting] for fold, heads_of_fold in candidates.items()}

        def log_probs(fold: int | None) -> np.ndarray:
            probe = probes.space.expand(heads[fold]).operations[-1]  # one affine map of the columns
            logits = weights[fold][0] * Head((probe,))(pool.columns)
            return log_softmax(logits + weights[fold][1] * pool.text, axis=1)

        return cls(fit, {fold: log_probs(fold) for fold in heads})


Learn = Callable[[int | None], Mapping[str, LinearClassifier]]


def stack_components(pool: Pool, teacher: Teacher, learn: Learn) -> Fit:
    """The teacher and the component classifiers, weighted by held-out log-loss.

    Args: learn: components by name, fitted without a fold's images; on everything, for None.
    """
    target = pool.labelled.target
    held_out: dict[str, np.ndarray] = {}
    for fold in pool.folds():
        out = pool.held_out(fold)
        log_probs = teacher.log_probs[fold][out]
        logits = {name: one(pool.rows[out], log_probs) for name, one in learn(fold).items()}
        for name, values in {TEACHER: log_probs, **logits}.items():
            blank = np.full((len(target), pool.labelled.classes), np.nan)
            held_out.setdefault(name, blank)[out] = values
    tested = ~np.isnan(held_out[TEACHER][:, 0])
    found = fit_weights([values[tested] for values in held_out.values()], target[tested])
    weights = dict(zip(held_out, found.tolist(), strict=True))
    mixed, _ = cross_fit([*held_out.values()], target, pool.labelled.fold)
    # All components are linear in the same rows: one affine map beside the teacher.
    components = learn(None)
    factors = [weights[name] for name in components]
    weight = np.tensordot(factors, [one.weight for one in components.values()], axes=1)
    bias = np.tensordot(factors, [one.bias for one in components.values()], axes=1)
    strength = np.dot(factors, [one.prior_strength for one in components.values()])
    supervised = teacher.fit.head.scaled(weights[TEACHER] + strength)
    head = blend(supervised, pool.space.head(weight, bias))
    named = {f"{name}_weight": weight for name, weight in weights.items()}
    return fit_from_held_out(target, mixed, head, teacher.fit.hyperparameters | named)


class Student(Parameters):
    """Logistic regression on pseudo-labels."""

    c: float = Field(10.0, ge=1e-6, le=1e6, description="Inverse regularisation strength.")
    confidence: float = Field(2.0, ge=0, le=100, description=_CONFIDENCE)
    label_weight: float = Field(5.0, ge=0, le=1e6, description="Weight of a labelled image.")
    max_iterations: int = Field(60, ge=1, le=1_000_000, description="Of L-BFGS.")

    def learn(self, pool: Pool, probabilities: np.ndarray, fold: int | None) -> LinearClassifier:
        """Fit on the likeliest classes (N', C) of all images but the fold's, in order."""
        given = pool.target(fold)
        index = np.flatnonzero(given != _HELD_OUT)
        weight = probabilities.max(axis=1) ** self.confidence
        weight[given[index] >= 0] = self.label_weight
        target = probabilities.argmax(axis=1)
        return weighted_logreg(pool, index, target, weight, self.c, self.max_iterations)


def weighted_logreg(
    pool: Pool, index: np.ndarray, target: np.ndarray, weight: np.ndarray, c: float,
    max_iterations: int,
) -> LinearClassifier:  # fmt: skip
    """Logistic regression on N' images of the pool; index, target and weight are (N',)."""
    rows, weight = pool.rows[index], weight.astype(np.float32)
    classes = pool.labelled.classes
    problem = SoftmaxProblem(rows, target, classes, weight, max_iterations=max_iterations)
    return LinearClassifier(*problem.solve(c)[:2])


class GdaEm(LogregBlend):
    """Semi-supervised Gaussian mixture by EM, with a prior at the supervised teacher.

    Source: Zanella et al. 2024 (TransCLIP), sections 3.1-3.3, and its few-shot form, appendix; Wang
    et al. 2024 for the shared covariance; Grandvalet and Bengio 2004, section 3.
    """

    components: int = Field(1024, ge=1, le=65_536, description="Principal components at most.")
    iterations: int = Field(6, ge=1, le=1000, description="Of EM.")
    beta: float = Field(
        0.3, ge=0, le=1e6, description="Inverse temperature of the Gaussian log-likelihoods."
    )
    shrinkage: float = Field(0.2, ge=0, le=1, description="Of the covariance to its mean variance.")
    confidence: float = Field(3.0, ge=0, le=100, description=_CONFIDENCE)
    label_weight: float = Field(10.0, ge=0, le=1e6, description="Weight of a labelled image.")

    def fit(self, task: Task) -> Fit:
        """Cross-validation weighs the components and the teacher."""
        pool = Pool.of(task, self.components)
        teacher = Teacher.of(pool, task.pretrained, self.c)
        return stack_components(pool, teacher, lambda fold: self.learn(pool, teacher, fold))

    def learn(self, pool: Pool, teacher: Teacher, fold: int | None) -> dict[str, LinearClassifier]:
        """The component classifiers, fitted to everything but the fold's images."""
        return {"gaussians": self.mixture(pool, teacher, fold)[0]}

    def mixture(
        self, pool: Pool, teacher: Teacher, fold: int | None
    ) -> tuple[LinearClassifier, np.ndarray]:
        """The mixture of everything but the fold's images, and their probabilities (N', C)."""
        target = pool.target(fold)
        mask = target != _HELD_OUT
        return fit_mixture(
            pool.rows[mask],
            teacher.log_probs[fold][mask],
            pool.prior(fold),
            target=target[mask],
            **self.model_dump(include=MIXTURE),
        )


class SelfTraining(GdaEm):
    """Self-training: a student of the mixture's pseudo-labels, stacked with mixture and teacher.

    Source: Lee 2013 (pseudo-labels); Xie et al. 2020, section 2 (noisy student).
    """

    student: Student = Field(Student(), description="Logistic regression on pseudo-labels.")

    def learn(self, pool: Pool, teacher: Teacher, fold: int | None) -> dict[str, LinearClassifier]:
        """The mixture and its student, fitted to everything but the fold's images."""
        gaussians, probabilities = self.mixture(pool, teacher, fold)
        student = self.student.learn(pool, probabilities, fold)
        return {"gaussians": gaussians, "student": student}


class LabelPropagation(LogregBlend):
    """Label propagation on a k-nearest-neighbour graph, and a student that generalises it.

    Every image starts with the teacher's probabilities, labelled ones with their class. A fold's
    images stay in the graph, as unlabelled ones.

    Source: Zhou et al. 2003; Iscen et al. 2019 for graph and student; Zhu et al. 2003, section 4
    (an external classifier at every node, classes scaled to given shares).
    """

    components: int = Field(1024, ge=1, le=65_536, description="Principal components at most.")
    neighbours: int = Field(10, ge=1, le=10_000, description="Of each image in the graph.")
    alpha: float = Field(0.8, ge=0, le=0.999, description="How far labels propagate.")
    student: Student = Field(Student(), description="Logistic regression on pseudo-labels.")

    def fit(self, task: Task) -> Fit:
        """Cross-validation weighs student and teacher."""
        pool = Pool.of(task, self.components)
        teacher = Teacher.of(pool, task.pretrained, self.c)
        graph = neighbour_graph(pool.rows, self.neighbours)

        def learn(fold: int | None) -> dict[str, LinearClassifier]:
            start, target = np.exp(teacher.log_probs[fold]), pool.target(fold)
            is_labelled = target >= 0
            start[is_labelled] = np.eye(pool.labelled.classes)[target[is_labelled]]
            spread = propagate(graph, start, self.alpha)
            shares, _ = balanced(np.log(spread + _TINY), pool.prior(fold), _BALANCE_ROUNDS)
            shares[is_labelled] = start[is_labelled]
            return {"student": self.student.learn(pool, shares[target != _HELD_OUT], fold)}

        return stack_components(pool, teacher, learn)


def neighbour_graph(rows: np.ndarray, neighbours: int) -> csr_array:
    """k-nearest-neighbour graph (N, N) by cosine, normalised to D^-½ W D^-½.

    Args: rows: (N, d) float32, around their mean. neighbours: >= 1; at most N − 1 are taken.
    """
    count = len(rows)
    k = min(neighbours, count - 1)
    unit = unit_norm(rows)
    near, value = np.zeros((count, k), dtype=np.int64), np.zeros((count, k))
    for start in range(0, count, BLOCK):
        cosine = unit[start : start + BLOCK] @ unit.T  # (B, N)
        index = np.arange(len(cosine))
        cosine[index, start + index] = -np.inf
        best = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        near[start + index] = best
        value[start + index] = np.take_along_axis(cosine, best, axis=1)
    edges = (np.maximum(value, 0.0) ** _GRAPH_POWER).ravel()
    index = np.repeat(np.arange(count), k)
    one_way = csr_array((edges, (index, near.ravel())), shape=(count, count))
    both = one_way + one_way.T
    scale = diags_array(1.0 / np.sqrt(np.maximum(both.sum(axis=1), 1e-12)))
    return csr_array(scale @ both @ scale)


def propagate(
    graph: csr_array, start: np.ndarray, alpha: float, tolerance: float = 1e-4
) -> np.ndarray:
    """The fixed point of F = α S F + (1 − α) Y, which is (1 − α) (I − α S)⁻¹ Y.

    Args: start: (N, C) Y >= 0. alpha: in [0, 1). tolerance: relative to the largest start.
    """
    max_change = tolerance * max(float(np.abs(start).max()), 1e-12) * (1.0 - alpha)
    current, change = start.astype(np.float64), np.inf
    while change > max_change:
        following = alpha * (graph @ current) + (1.0 - alpha) * start
        change = float(np.abs(following - current).max())
        current = following
    return current


class PseudoLabels(Method):
    """Pseudo-labels: logistic regression on its own predictions, without text, round by round.

    Source: Lee 2013, "Pseudo-Label", equations 15-16 (weights that rise to 3).
    """

    components: int = Field(1024, ge=1, le=65_536, description="Principal components at most.")
    c: float = Field(30.0, ge=1e-6, le=1e6, description="Inverse regularisation strength.")
    rounds: int = Field(3, ge=0, le=100, description="Of pseudo-labelling, at most.")
    weight: float = Field(
        3.0, ge=0, le=1e6, description="Of all pseudo-labels in the last round, 1 for the labels."
    )
    max_iterations: int = Field(60, ge=1, le=1_000_000, description="Of L-BFGS.")

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses the number of rounds, none among them."""
        pool, labelled = Pool.of(task, self.components), task.labelled
        settings = [(rounds, self.c, self.weight) for rounds in range(self.rounds + 1)]
        shape = (len(labelled.target), labelled.classes)
        held_out = {setting: np.full(shape, np.nan) for setting in settings}
        for fold in pool.folds():
            out = pool.held_out(fold)
            for setting, probe in zip(settings, self.probes(pool, fold), strict=True):
                held_out[setting][out] = probe(pool.rows[out])

        def refit(setting: tuple[int, float, float]) -> Head:
            probe = next(islice(self.probes(pool, None), setting[0], None))
            return pool.space.head(probe.weight, probe.bias)

        return select_candidate(labelled.target, held_out, ("rounds", "c", "last_weight"), refit)

    def probes(self, pool: Pool, fold: int | None) -> Iterator[LinearClassifier]:
        """The probe of the labels alone, then that of each round, without the fold's images."""
        target = pool.target(fold)
        free = target == _UNLABELLED
        labels = (target >= 0).sum()
        for done in range(self.rounds + 1):
            # n labelled losses, and α n times the mean of the unlabelled ones
            alpha = self.weight * done / max(self.rounds, 1)
            weight = np.where(free, alpha * labels / max(free.sum(), 1), 1.0)
            index = np.flatnonzero((target != _HELD_OUT) & (weight > 0.0))
            used = target[index], weight[index]
            probe = weighted_logreg(pool, index, *used, self.c, self.max_iterations)
            yield probe
            target[free] = probe(pool.rows[free]).argmax(axis=1)
