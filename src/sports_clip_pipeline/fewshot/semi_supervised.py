"""Stacks semi-supervised classifiers with their supervised teacher.

All images, labelled or not, stand side by side in the same principal components; a supervised
teacher (logistic regression with zero-shot) gives the unlabelled ones log-probabilities to start
from. What is learned from them is weighted against the teacher on held-out labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array, diags_array
from scipy.special import log_softmax

from sports_clip_pipeline.clip.projections import Pretrained, unit_norm
from sports_clip_pipeline.fewshot.base import Fit, Labelled, Method, Task
from sports_clip_pipeline.fewshot.cross_validation import fit_from_held_out, select_candidate
from sports_clip_pipeline.fewshot.discriminant import (
    Discriminant,
    Mixture,
    MixtureSettings,
    balanced,
    fit_mixture,
)
from sports_clip_pipeline.fewshot.ensemble import LogregBlend, blend_probe, fit_weights
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
_LEAST = 1e-9


@dataclass(frozen=True)
class Pool:
    """N = n + U images, the n labelled ones first.

    Attributes:
        columns: (N, D) float32 scaled features. text: (N, C) zero-shot logits.
        space: principal components of the columns. rows: (N, d) float32 in them.
    """

    labelled: Labelled
    columns: np.ndarray
    text: np.ndarray
    space: PrincipalSpace
    rows: np.ndarray

    @classmethod
    def of(cls, task: Task, components: int) -> Pool:
        """Labelled and unlabelled images in at most so many principal components."""
        blocks = [task.labelled.features, *([] if task.unlabelled is None else [task.unlabelled])]
        operations = task.pretrained.scaled(root=True)
        columns = _apply_in_blocks(blocks, Head(operations))
        zero_shot = task.pretrained.zero_shot_head()
        text = np.concatenate([zero_shot(block) for block in blocks])
        space = PrincipalSpace.of(columns, operations, components)
        return cls(task.labelled, columns, text, space, space.rows(columns))

    def folds(self) -> list[int]:
        """The folds, in order."""
        return [int(fold) for fold in np.unique(self.labelled.fold[self.labelled.fold >= 0])]

    def known(self, fold: int | None = None) -> np.ndarray:
        """(N,) int; the class of a labelled row outside the fold, −1 for all others."""
        known = np.full(len(self.rows), -1)
        known[: len(self.labelled.target)] = self.labelled.target
        known[self.held_out(fold)] = -1
        return known

    def without(self, fold: int | None = None) -> np.ndarray:
        """(N,) bool; everything but the images of the fold."""
        mask = np.ones(len(self.rows), dtype=bool)
        mask[self.held_out(fold)] = False
        return mask

    def held_out(self, fold: int | None) -> np.ndarray:
        """Positions of the fold's images; none for None."""
        if fold is None:
            return np.zeros(0, dtype=int)
        return np.flatnonzero(self.labelled.fold == fold)

    def prior(self, fold: int | None = None) -> np.ndarray:
        """(C,) smoothed shares of the classes among the labels outside the fold."""
        known = self.known(fold)
        count = np.bincount(known[known >= 0], minlength=self.labelled.classes) + _PRIOR_COUNT
        return count / count.sum()


def _apply_in_blocks(blocks: Sequence[np.ndarray], head: Head) -> np.ndarray:
    """The head's outputs for all blocks, one below the other, in slices: they are large."""
    columns, start = None, 0
    for block in blocks:
        for first in range(0, len(block), BLOCK):
            made = head(block[first : first + BLOCK])
            if columns is None:
                columns = np.empty((sum(map(len, blocks)), made.shape[1]), made.dtype)
            columns[start : start + len(made)] = made
            start += len(made)
    assert columns is not None
    return columns


@dataclass(frozen=True)
class Teacher:
    """The supervised classifier (`logreg_blend`) of a pool.

    Attributes:
        fit: on all labels.
        log_probs: (N, C) of all images, by the same settings without a fold's labels, for each
            fold; with all labels, for None.
    """

    fit: Fit
    log_probs: Mapping[int | None, np.ndarray]

    @classmethod
    def of(cls, pool: Pool, pretrained: Pretrained, strengths: tuple[float, ...]) -> Teacher:
        """Logistic regression with zero-shot; cross-validation chooses among the strengths."""
        task = Task(pool.labelled, pretrained)
        probes = LinearProbes.of(task)
        fit = blend_probe(task, logreg_path, "c", strengths)
        name = str(fit.hyperparameters["c"])
        heads: dict[int | None, Head] = {None: probes.fit(logreg_path, name)}
        for fold, candidates in probes.held_out(logreg_path, strengths).without.items():
            heads[fold] = candidates[name]

        def log_probs(head: Head) -> np.ndarray:
            probe = probes.space.expand(head).operations[-1]  # one affine map of the columns
            logits = fit.hyperparameters["probe_weight"] * probe(pool.columns)
            logits += fit.hyperparameters["zero_shot_weight"] * pool.text
            result: np.ndarray = log_softmax(logits, axis=1)
            return result

        return cls(fit, {fold: log_probs(head) for fold, head in heads.items()})


@dataclass(frozen=True)
class Component:
    """A component classifier: logits x Wᵀ + b + s · t, with the teacher's log-probabilities t.

    Attributes:
        weight: (C, d) float32. bias: (C,). prior_strength: s >= 0.
    """

    weight: np.ndarray
    bias: np.ndarray
    prior_strength: float = 0.0

    def __call__(self, rows: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
        """(N, d) and (N, C) to (N, C)."""
        logits: np.ndarray = rows @ self.weight.T + self.bias + self.prior_strength * log_probs
        return logits


def stack_components(
    pool: Pool, teacher: Teacher, learn: Callable[[int | None], Mapping[str, Component]]
) -> Fit:
    """The teacher and the components that `learn` fits, weighted by held-out log-loss.

    Args:
        learn: components by name, fitted without what a fold holds out; on everything, for None.
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
    weights = dict(zip(held_out, (float(weight) for weight in found), strict=True))
    mixed = np.sum([weights[name] * held_out[name] for name in held_out], axis=0)
    named = {f"{name}_weight": weight for name, weight in weights.items()}
    head = _blend(pool, teacher, learn(None), weights)
    return fit_from_held_out(pool.labelled, mixed, head, {**teacher.fit.hyperparameters, **named})


def _blend(
    pool: Pool,
    teacher: Teacher,
    components: Mapping[str, Component],
    weights: Mapping[str, float],
) -> Head:
    """All components are linear in the same rows: one affine map beside the teacher."""
    factors = [weights[name] for name in components]
    weight = np.tensordot(factors, [one.weight for one in components.values()], axes=1)
    bias = np.tensordot(factors, [one.bias for one in components.values()], axes=1)
    strength = np.dot(factors, [one.prior_strength for one in components.values()])
    supervised = teacher.fit.head.scaled(weights[TEACHER] + strength)
    return blend(supervised, pool.space.head(weight, bias))


class Student(Parameters):
    """Logistic regression on pseudo-labels."""

    c: float = Field(10.0, ge=1e-6, le=1e6, description="Inverse regularisation strength.")
    confidence: float = Field(
        2.0,
        ge=0,
        le=100,
        description="Unlabelled images weigh their top probability to this power.",
    )
    label_weight: float = Field(5.0, ge=0, le=1e6, description="Weight of a labelled image.")
    max_iterations: int = Field(60, ge=1, le=1_000_000, description="Of L-BFGS.")

    def learn(self, pool: Pool, probabilities: np.ndarray, fold: int | None) -> Component:
        """Fit on the likeliest classes (N', C) of all images but the fold's, in order."""
        rows = pool.without(fold)
        weight = probabilities.max(axis=1) ** self.confidence
        weight[pool.known(fold)[rows] >= 0] = self.label_weight
        found = _weighted_logreg(
            pool.rows[rows], probabilities.argmax(axis=1), weight, pool, self.c, self.max_iterations
        )
        return Component(found.weight, found.bias)


def _weighted_logreg(
    rows: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    pool: Pool,
    c: float,
    max_iterations: int,
) -> Discriminant:
    problem = SoftmaxProblem(
        rows, target, pool.labelled.classes, weight.astype(np.float32),
        max_iterations=max_iterations,
    )  # fmt: skip
    found = problem.solve(c)
    return Discriminant(found.weight, found.bias)


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
    confidence: float = Field(
        3.0,
        ge=0,
        le=100,
        description="Unlabelled images weigh their top probability to this power.",
    )
    label_weight: float = Field(10.0, ge=0, le=1e6, description="Weight of a labelled image.")

    def fit(self, task: Task) -> Fit:
        """Cross-validation weighs mixture and teacher."""
        pool = Pool.of(task, self.components)
        teacher = Teacher.of(pool, task.pretrained, self.c)

        def learn(fold: int | None) -> Mapping[str, Component]:
            return {"gaussians": gaussian_component(self.mixture(pool, teacher, fold))}

        return stack_components(pool, teacher, learn)

    def mixture(self, pool: Pool, teacher: Teacher, fold: int | None) -> Mixture:
        """The mixture of everything but the fold's images."""
        settings = MixtureSettings(
            iterations=self.iterations,
            beta=self.beta,
            shrinkage=self.shrinkage,
            confidence=self.confidence,
            label_weight=self.label_weight,
        )
        rows = pool.without(fold)
        return fit_mixture(
            pool.rows[rows],
            teacher.log_probs[fold][rows],
            pool.prior(fold),
            settings,
            pool.known(fold)[rows],
        )


def gaussian_component(mixture: Mixture) -> Component:
    """The mixture's logits, the prior at the teacher included."""
    beta, gaussians = mixture.settings.beta, mixture.gaussians
    bias = beta * gaussians.bias + mixture.bias
    return Component(beta * gaussians.weight, bias, mixture.settings.prior_strength)


class SelfTraining(GdaEm):
    """Self-training: a student of the mixture's pseudo-labels, stacked with mixture and teacher.

    Source: Lee 2013 (pseudo-labels); Xie et al. 2020, section 2 (noisy student).
    """

    student: Student = Field(Student(), description="Logistic regression on pseudo-labels.")

    def fit(self, task: Task) -> Fit:
        """Cross-validation weighs student, mixture and teacher."""
        pool = Pool.of(task, self.components)
        teacher = Teacher.of(pool, task.pretrained, self.c)

        def learn(fold: int | None) -> Mapping[str, Component]:
            mixture = self.mixture(pool, teacher, fold)
            student = self.student.learn(pool, mixture.probabilities, fold)
            return {"gaussians": gaussian_component(mixture), "student": student}

        return stack_components(pool, teacher, learn)


class LabelPropagation(LogregBlend):
    """Label propagation on a k-nearest-neighbour graph, and a student that generalises it.

    Every image starts with the teacher's probabilities, labelled ones with their class. A fold's
    images stay in the graph, as unlabelled ones.

    Source: Zhou et al. 2003, "Learning with Local and Global Consistency"; Iscen et al. 2019 for
    graph and student; Zhu et al. 2003, section 4 (an external classifier at every node, classes
    scaled to known shares).
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

        def learn(fold: int | None) -> Mapping[str, Component]:
            start, known = np.exp(teacher.log_probs[fold]), pool.known(fold)
            start[known >= 0] = np.eye(pool.labelled.classes)[known[known >= 0]]
            even = propagate(graph, start, self.alpha)
            shares, _ = balanced(np.log(even + _LEAST), pool.prior(fold), _BALANCE_ROUNDS)
            shares[known >= 0] = start[known >= 0]
            return {"student": self.student.learn(pool, shares[pool.without(fold)], fold)}

        return stack_components(pool, teacher, learn)


def neighbour_graph(rows: np.ndarray, neighbours: int) -> csr_array:
    """k-nearest-neighbour graph by cosine, normalised to D^-½ W D^-½.

    Args:
        rows: (N, d) float32, around their mean. neighbours: >= 1; at most N − 1 are taken.
    Returns: (N, N) float64, symmetric, zeros on its diagonal; negative cosines make no edge.
    """
    count = len(rows)
    k = min(neighbours, count - 1)
    unit = unit_norm(rows)
    near, value = np.zeros((count, k), dtype=np.int64), np.zeros((count, k))
    for start in range(0, count, BLOCK):
        cosine = unit[start : start + BLOCK] @ unit.T  # (B, N)
        at = np.arange(len(cosine))
        cosine[at, start + at] = -np.inf
        best = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        near[start + at] = best
        value[start + at] = np.take_along_axis(cosine, best, axis=1)
    edges = (np.maximum(value, 0.0) ** _GRAPH_POWER).ravel()
    index = np.repeat(np.arange(count), k), near.ravel()
    one_way = csr_array((edges, index), shape=(count, count))
    both = one_way + one_way.T
    scale = diags_array(1.0 / np.sqrt(np.maximum(both.sum(axis=1), 1e-12)))
    return csr_array(scale @ both @ scale)


def propagate(
    graph: csr_array, start: np.ndarray, alpha: float, tolerance: float = 1e-4
) -> np.ndarray:
    """The fixed point of F = α S F + (1 − α) Y, which is (1 − α) (I − α S)⁻¹ Y.

    Args:
        graph: (N, N) normalised. start: (N, C) Y >= 0. alpha: in [0, 1).
        tolerance: of the largest change, relative to the largest start.
    Returns: (N, C) float64 >= 0.
    """
    enough = tolerance * max(float(np.abs(start).max()), 1e-12) * (1.0 - alpha)
    current = start.astype(np.float64)
    while True:
        following = alpha * (graph @ current) + (1.0 - alpha) * start
        change = float(np.abs(following - current).max())
        current = following
        if change <= enough:
            return current


class PseudoLabels(Method):
    """Pseudo-labels: logistic regression on its own predictions, without text, round by round.

    Source: Lee 2013, "Pseudo-Label", equations 15-16 (the mean loss over pseudo-labels is added
    with a weight that rises to 3).
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
        pool = Pool.of(task, self.components)
        held_out: dict[str, np.ndarray] = {}
        for fold in pool.folds():
            out = pool.held_out(fold)
            for done, probe in enumerate(self.probes(pool, fold)):
                blank = np.full((len(pool.labelled.target), pool.labelled.classes), np.nan)
                held_out.setdefault(str(done), blank)[out] = probe(pool.rows[out])

        def refit(name: str) -> Head:
            probe = list(islice(self.probes(pool, None), int(name) + 1))[-1]
            return pool.space.head(probe.weight, probe.bias)

        def describe(name: str) -> dict[str, float]:
            return {"rounds": int(name), "c": self.c, "last_weight": self.weight}

        return select_candidate(pool.labelled, held_out, describe, refit)

    def probes(self, pool: Pool, fold: int | None) -> Iterator[Discriminant]:
        """The probe of the labels alone, then that of each round, without the fold's images."""
        mask = pool.without(fold)
        rows, known = pool.rows[mask], pool.known(fold)[mask]
        free = known < 0
        target = np.where(free, 0, known)
        for done in range(self.rounds + 1):
            # α (n / U) for each unlabelled row: n labelled losses, and α n times the mean of the
            # unlabelled ones.
            alpha = self.weight * done / max(self.rounds, 1)
            weight = np.where(free, alpha * (~free).sum() / max(free.sum(), 1), 1.0)
            used = weight > 0.0
            probe = _weighted_logreg(
                rows[used], target[used], weight[used], pool, self.c, self.max_iterations
            )
            yield probe
            target[free] = probe(rows[free]).argmax(axis=1)
