"""Linear few-shot methods: logistic regression, ridge, nearest mean, LP++ and CLAP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from sports_clip_pipeline.clip.projections import Pretrained, unit_norm
from sports_clip_pipeline.fewshot.base import Fit, Labelled, Method, Task
from sports_clip_pipeline.fewshot.cross_validation import (
    cross_validate,
    fit_temperature,
    log_loss,
    select_candidate,
)
from sports_clip_pipeline.fewshot.softmax_solver import SoftmaxProblem
from sports_clip_pipeline.fewshot.subspace import LinearProbes, RowSpace, lower_gram, principal_axes
from sports_clip_pipeline.parameters import Floats, between
from sports_clip_pipeline.predictor.head import Head, Operation, affine, softmax

Strengths = Annotated[Floats, between(1e-6, 1e6)]
_TEXT_TOLERANCE = 1e-7


class LogisticRegression(Method):
    """Multinomial logistic regression; cross-validation chooses feature scaling and C.

    Source: the linear probe of Radford et al. 2021, section 3.2. Features are scaled to unit norm
    (optionally after their square root, Arandjelović and Zisserman 2012) or standardised.
    """

    c: Strengths = Field((3.0, 10.0, 30.0, 100.0), description="Inverse regularisation strengths.")

    def fit(self, task: Task) -> Fit:
        """Fit every scaling and C on each fold."""
        pretrained, labelled = task.pretrained, task.labelled
        is_clip = pretrained.space == "clip"
        scalings = ("unit", "standard") if is_clip else ("unit", "root", "standard")

        def path(rows: Labelled, scaling: str, strengths: Sequence[float]) -> Mapping[str, Head]:
            space = RowSpace.of(rows, _scaling(scaling, pretrained, rows))
            space = space.rotated(principal_axes(space.rows.features)[0])
            return {c: space.expand(head) for c, head in logreg_path(space.rows, strengths).items()}

        def fit_all(rows: Labelled) -> dict[str, Head]:
            return {
                f"{scaling} {c}": head
                for scaling in scalings
                for c, head in path(rows, scaling, self.c).items()
            }

        def describe(name: str) -> dict[str, object]:
            scaling, c = name.split()
            return {"scaling": scaling, "c": float(c)}

        def refit(name: str) -> Head:
            scaling, c = name.split()
            return path(labelled, scaling, (float(c),))[c]

        return cross_validate(labelled, fit_all, describe, refit)


def _scaling(name: str, pretrained: Pretrained, rows: Labelled) -> tuple[Operation, ...]:
    if name != "standard":
        return pretrained.scaled(root=name == "root")
    raw = pretrained.raw()
    features = Head(raw)(rows.features)
    width = np.float32(np.sqrt(features.shape[1]))
    scale = (features.std(axis=0) + features.std() * 0.1) * width
    return (*raw, Operation("standardise", {"mean": features.mean(axis=0), "scale": scale}))


def labelled_with(rows: Labelled, features: np.ndarray) -> Labelled:
    """The same labelled rows with other features (n, r)."""
    return Labelled(features, rows.target, rows.fold, rows.classes)


def logreg_path(rows: Labelled, strengths: Sequence[float]) -> dict[str, Head]:
    """One logistic regression for each C, by its name; each starts from the one before."""
    mean = rows.features.mean(axis=0)
    problem = SoftmaxProblem(rows.features - mean, rows.target, rows.classes)
    heads, found = {}, None
    for c in sorted(strengths):
        found = problem.solve(c, start=found)
        heads[str(c)] = Head((affine(found.weight, found.bias - found.weight @ mean),))
    return heads


class TextInitLogisticRegression(Method):
    """Logistic regression on CLIP embeddings with a Gaussian prior at the zero-shot weights.

    With no labels it is the zero-shot classifier, with many a plain logistic regression.

    Source: Wortsman et al. 2022, section 3 (zero-shot initialisation); Silva-Rodríguez et al. 2024
    (CLAP) for the penalty towards the text prototypes.
    """

    c: Strengths = Field(
        (0.01, 0.03, 0.1, 0.3, 1.0), description="Inverse strengths of the prior at the text."
    )

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses the strength of the prior."""
        pretrained, scale = task.pretrained, task.pretrained.logit_scale
        text = pretrained.zero_shot_weights

        def path(rows: Labelled, strengths: Sequence[float]) -> dict[str, Head]:
            embeddings = Head(pretrained.embed())(rows.features) * np.float32(scale)
            problem = SoftmaxProblem(
                embeddings, rows.target, rows.classes, prior=text, intercept=False
            )
            heads, found = {}, None
            for c in sorted(strengths):
                found = problem.solve(c, _TEXT_TOLERANCE, found)
                last = affine(found.weight * scale, np.zeros(len(text)))
                heads[str(c)] = Head((*pretrained.embed(), last))
            return heads

        return cross_validate(
            task.labelled,
            lambda rows: path(rows, self.c),
            lambda name: {"c": float(name)},
            lambda name: path(task.labelled, (float(name),))[name],
        )


class Ridge(Method):
    """Ridge regression of one-hot classes, a linear probe in closed form.

    W = (Xᵀ X + α I)⁻¹ Xᵀ Y on centred rows. Source: Rifkin et al. 2003.
    """

    alpha: Strengths = Field(
        (0.03, 0.1, 0.3, 1.0, 3.0), description="L2 penalties α, on unit-norm features."
    )

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses α."""
        probes = LinearProbes.of(task)
        return select_candidate(
            task.labelled,
            probes.held_out(solve_ridge, self.alpha).logits,
            lambda name: {"alpha": float(name)},
            partial(probes.expanded, solve_ridge),
        )


def solve_ridge(rows: Labelled, alphas: Sequence[float]) -> dict[str, Head]:
    """The minimum of ‖Y − X Wᵀ − b‖² + α ‖W‖² for each α, by its name; one Gram matrix for all."""
    mean = rows.features.mean(axis=0)
    one_hot = np.eye(rows.classes, dtype=np.float32)[rows.target]  # (n, C)
    share = one_hot.mean(axis=0)
    gram = lower_gram(rows.features, mean)  # (r, r)
    product = rows.features.T @ (one_hot - share)  # (r, C); Y is centred, so X needs not be
    heads = {}
    for alpha in alphas:
        whole = add_diagonal(gram, alpha)
        factor = cho_factor(whole, lower=True, overwrite_a=True, check_finite=False)
        weight = cho_solve(factor, product, check_finite=False).T  # (C, r)
        heads[str(alpha)] = Head((affine(weight, share - weight @ mean),))
    return heads


def add_diagonal(matrix: np.ndarray, value: float) -> np.ndarray:
    """A copy of the square matrix with `value` added to its diagonal."""
    result = matrix.copy(order="K")
    result.flat[:: len(matrix) + 1] += np.float32(value)
    return result


class NearestMean(Method):
    """Cosine to the mean of each class (prototypes).

    Source: Snell et al. 2017, section 2.3; Mensink et al. 2013 for cosines.
    """

    def fit(self, task: Task) -> Fit:
        """Cross-validation sets the temperature alone."""
        space = RowSpace.of(task.labelled, task.pretrained.scaled(root=True))

        def fit_all(rows: Labelled) -> dict[str, Head]:
            means = unit_norm(class_means(rows))  # (C, r)
            return {"means": Head((affine(means, np.zeros(len(means))),))}

        return space.expand_fit(cross_validate(space.rows, fit_all, lambda name: {}))


def class_means(rows: Labelled) -> np.ndarray:
    """(C, r) mean of each class's rows; zeros for a class without any."""
    one_hot = np.eye(rows.classes, dtype=np.float32)[rows.target]  # (n, C)
    counts = np.maximum(one_hot.sum(axis=0), 1.0)
    means: np.ndarray = one_hot.T @ rows.features / counts[:, None]
    return means


class LpPlusPlus(Method):
    """LP++: a linear probe and a multiplier of each class's zero-shot logit, learned together.

    Logits are x wₖ + bₖ + αₖ tₖ. The paper descends block by block for a fixed number of steps;
    here the convex problem is solved, with an L2 penalty on w that cross-validation chooses.

    Source: Huang et al. 2024, "LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP",
    section 3.
    """

    c: Strengths = Field((30.0, 100.0, 300.0), description="Inverse L2 penalties of the probe.")
    prior_strength: float = Field(
        4.0, ge=0, le=1e6, description="Penalty on the text multipliers' distance to their start."
    )

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses the probe's penalty."""
        probes = LinearProbes.of(task)
        zero_shot = task.pretrained.zero_shot_head()
        space = probes.space.beside_outputs(zero_shot, zero_shot(task.labelled.features))
        found = cross_validate(
            space.rows,
            lambda rows: self.solve(rows, probes.energy, self.c),
            lambda name: {"c": float(name)},
            lambda name: self.solve(space.rows, probes.energy, (float(name),))[name],
        )
        return space.expand_fit(found)

    def solve(
        self, rows: Labelled, energy: np.ndarray, strengths: Sequence[float]
    ) -> dict[str, Head]:
        """A head on [columns, zero-shot logits] for each inverse penalty, by its name.

        Args:
            rows: features (n, r + C), the zero-shot logits last.
            energy: (r,) sum of squares of the rows along each column.
        """
        columns, text = np.split(rows.features, [len(energy)], axis=1)
        mean = columns.mean(axis=0)
        problem = SoftmaxProblem(
            columns - mean,
            rows.target,
            rows.classes,
            text=text,
            multiplier_prior=1.0 / fit_temperature(text, rows.target),
            prior_strength=self.prior_strength,
            energy=energy,
        )
        heads, found = {}, None
        for c in sorted(strengths):
            found = problem.solve(c, start=found)
            weight = np.hstack([found.weight, np.diag(found.multiplier)])  # (C, r + C)
            heads[str(c)] = Head((affine(weight, found.bias - found.weight @ mean),))
        return heads


class Clap(Method):
    """CLAP: cosine prototypes with a class-adaptive penalty towards the zero-shot weights.

    Logits are s · cos(x, w). The loss is the mean cross-entropy plus the mean over classes of
    λ_c ‖w_c − t_c‖², with λ_c the mean zero-shot probability of the true class on class c.

    Source: Silva-Rodríguez et al. 2024, "A Closer Look at the Few-Shot Adaptation of Large
    Vision-Language Models", section 4; the mean over classes is that of the authors' code. L-BFGS
    replaces 300 epochs of SGD.
    """

    def fit(self, task: Task) -> Fit:
        """Cross-validation sets the temperature alone."""
        text, scale = task.pretrained.zero_shot_weights, task.pretrained.logit_scale
        embed = task.pretrained.embed()
        rows = labelled_with(task.labelled, Head(embed)(task.labelled.features))

        def fit_all(some: Labelled) -> dict[str, Head]:
            prototypes = solve_clap(some, text, scale, clap_penalty(some, text, scale))
            return {"clap": Head((affine(unit_norm(prototypes) * scale, np.zeros(len(text))),))}

        return RowSpace(embed, None, rows).expand_fit(
            cross_validate(rows, fit_all, lambda name: {})
        )


def clap_penalty(rows: Labelled, text: np.ndarray, scale: float) -> np.ndarray:
    """(C,) λ: mean zero-shot probability of the true class; 1 for a class without rows."""
    own = softmax(rows.features @ text.T * scale)[np.arange(len(rows.target)), rows.target]
    counts = np.bincount(rows.target, minlength=len(text))
    sums = np.bincount(rows.target, weights=own, minlength=len(text))
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)


def solve_clap(rows: Labelled, text: np.ndarray, scale: float, penalty: np.ndarray) -> np.ndarray:
    """Prototypes (C, P), searched from the text.

    Args:
        rows: features (n, P) unit-norm. text: (C, P) unit-norm. penalty: (C,) λ.
    """
    found = minimize(
        lambda flat: clap_objective(flat.reshape(text.shape), rows, text, scale, penalty),
        text.astype(np.float64).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 100, "ftol": 1e-5},
    )
    return found.x.reshape(text.shape)


def clap_objective(
    prototypes: np.ndarray, rows: Labelled, text: np.ndarray, scale: float, penalty: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean cross-entropy + mean over classes of λ ‖w − t‖², and its gradient, flat."""
    norms = np.linalg.norm(prototypes, axis=1, keepdims=True)
    unit = prototypes / norms
    logits = (rows.features @ unit.T.astype(rows.features.dtype)) * scale  # (n, C)
    apart = prototypes - text
    loss = log_loss(logits, rows.target) + float((penalty * (apart**2).sum(axis=1)).mean())
    error = softmax(logits)
    error[np.arange(len(rows.target)), rows.target] -= 1.0
    error *= scale / len(rows.target)
    slope = error.T.astype(rows.features.dtype) @ rows.features  # (C, P), by the unit prototypes
    along = (slope * unit).sum(axis=1, keepdims=True)
    gradient = (slope - along * unit) / norms + 2.0 * penalty[:, None] * apart / len(text)
    return loss, gradient.ravel()
