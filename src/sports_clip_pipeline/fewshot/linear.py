"""Linear few-shot methods: logistic regression, ridge, nearest mean, LP++ and CLAP."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.linalg import cho_factor, cho_solve

from sports_clip_pipeline.clip.projections import Pretrained, unit_norm
from sports_clip_pipeline.fewshot import softmax_solver
from sports_clip_pipeline.fewshot.base import Fit, Labelled, Method, Task
from sports_clip_pipeline.fewshot.cross_validation import (
    Heads,
    cross_validate,
    fit_temperature,
    log_loss,
)
from sports_clip_pipeline.fewshot.subspace import LinearProbes, RowSpace, lower_gram, principal_axes
from sports_clip_pipeline.parameters import Floats, between
from sports_clip_pipeline.predictor.head import Head, Operation, affine, softmax

Strengths = Annotated[Floats, between(1e-6, 1e6)]
_SCALINGS = ("unit", "root", "standard")


class LogisticRegression(Method):
    """Multinomial logistic regression; cross-validation chooses feature scaling and C.

    Features are scaled to unit norm (optionally after their square root) or standardised. Source:
    Radford et al. 2021, section 3.2; Arandjelović and Zisserman 2012 for the square root.
    """

    c: Strengths = Field((3.0, 10.0, 30.0, 100.0), description="Inverse regularisation strengths.")

    def fit(self, task: Task) -> Fit:
        """Fit every scaling and C on each fold."""
        pretrained = task.pretrained
        scalings = ("unit", "standard") if pretrained.space == "clip" else _SCALINGS

        def fit_all(rows: Labelled, scalings: Sequence[str], strengths: Sequence[float]) -> Heads:
            heads = {}
            for scaling in scalings:
                space = RowSpace.of(rows, _scaling(scaling, pretrained, rows))
                space = space.rotated(principal_axes(space.rows.features)[0])
                for setting, head in logreg_path(space.rows, strengths).items():
                    heads[(scaling, *setting)] = space.expand(head)
            return heads

        return cross_validate(task.labelled, fit_all, scaling=scalings, c=self.c)


def _scaling(name: str, pretrained: Pretrained, rows: Labelled) -> tuple[Operation, ...]:
    if name != "standard":
        return pretrained.scaled(root=name == "root")
    raw = pretrained.raw()
    features = Head(raw)(rows.features)
    width = np.float32(np.sqrt(features.shape[1]))
    scale = (features.std(axis=0) + features.std() * 0.1) * width
    return (*raw, Operation("standardise", {"mean": features.mean(axis=0), "scale": scale}))


def logreg_path(rows: Labelled, strengths: Sequence[float]) -> Heads:
    """Logistic regression for each C."""
    mean = rows.features.mean(axis=0)
    problem = softmax_solver.SoftmaxProblem(rows.features - mean, rows.target, rows.classes)
    return {
        (c,): Head((affine(found.weight, found.bias - found.weight @ mean),))
        for c, found in problem.path(strengths)
    }


class TextInitLogisticRegression(Method):
    """Logistic regression on CLIP embeddings with a Gaussian prior at the zero-shot weights.

    Source: Wortsman et al. 2022, section 3 (zero-shot initialisation); Silva-Rodríguez et al. 2024
    (CLAP) for the penalty towards the text prototypes.
    """

    c: Strengths = Field(
        (0.01, 0.03, 0.1, 0.3, 1.0), description="Inverse strengths of the prior at the text."
    )

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses the strength of the prior."""
        text, scale = task.pretrained.zero_shot_weights, task.pretrained.logit_scale
        embed = task.pretrained.embed()

        def path(rows: Labelled, strengths: Sequence[float]) -> Heads:
            embeddings = Head(embed)(rows.features) * np.float32(scale)
            problem = softmax_solver.SoftmaxProblem(
                embeddings, rows.target, rows.classes, prior=text, intercept=False
            )
            return {
                (c,): Head((*embed, affine(found.weight * scale)))
                for c, found in problem.path(strengths)
            }

        return cross_validate(task.labelled, path, c=self.c)


class Ridge(Method):
    """Ridge regression of one-hot classes, a linear probe in closed form.

    W = (Xᵀ X + α I)⁻¹ Xᵀ Y on centred rows. Source: Rifkin et al. 2003.
    """

    alpha: Strengths = Field(
        (0.03, 0.1, 0.3, 1.0, 3.0), description="L2 penalties α, on unit-norm features."
    )

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses α."""
        return LinearProbes.of(task).select(solve_ridge, self.alpha, "alpha")


def solve_ridge(rows: Labelled, alphas: Sequence[float]) -> Heads:
    """The minimum of ‖Y − X Wᵀ − b‖² + α ‖W‖² for each α; one Gram matrix for all."""
    mean = rows.features.mean(axis=0)
    one_hot = np.eye(rows.classes, dtype=np.float32)[rows.target]  # (n, C)
    share = one_hot.mean(axis=0)
    gram = lower_gram(rows.features, mean)  # (r, r)
    product = rows.features.T @ (one_hot - share)  # (r, C); Y is centred, so X needs not be
    heads = {}
    for alpha in alphas:
        weight = solve_shifted(gram, alpha, product).T  # (C, r)
        heads[(alpha,)] = Head((affine(weight, share - weight @ mean),))
    return heads


def solve_shifted(gram: np.ndarray, value: float, right: np.ndarray) -> np.ndarray:
    """(G + value · I)⁻¹ right, for a symmetric G (r, r) of which the lower triangle is read."""
    whole = gram.copy(order="K")
    whole.flat[:: len(gram) + 1] += np.float32(value)
    factor = cho_factor(whole, lower=True, overwrite_a=True, check_finite=False)
    return cho_solve(factor, right, check_finite=False)


class NearestMean(Method):
    """Cosine to the mean of each class (prototypes). Source: Snell et al. 2017, section 2.3."""

    def fit(self, task: Task) -> Fit:
        """Cross-validation sets the temperature alone."""
        space = RowSpace.of(task.labelled, task.pretrained.scaled(root=True))

        def fit_all(rows: Labelled) -> Heads:
            return {(): Head((affine(unit_norm(class_means(rows))),))}

        return space.expand_fit(cross_validate(space.rows, fit_all))


def class_means(rows: Labelled) -> np.ndarray:
    """(C, r) mean of each class's rows; zeros for a class without any."""
    one_hot = np.eye(rows.classes, dtype=np.float32)[rows.target]  # (n, C)
    counts = np.maximum(one_hot.sum(axis=0), 1.0)
    return one_hot.T @ rows.features / counts[:, None]


class LpPlusPlus(Method):
    """LP++: a linear probe and a multiplier of each class's zero-shot logit, learned together.

    Logits are x wₖ + bₖ + αₖ tₖ. Where the paper descends block by block, the convex problem is
    solved, with an L2 penalty on w.

    Source: Huang et al. 2024, "LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP".
    """

    c: Strengths = Field((30.0, 100.0, 300.0), description="Inverse L2 penalties of the probe.")
    prior_strength: float = Field(
        1e3, ge=0, le=1e6, description="Penalty on the text multipliers' distance to their start."
    )

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses the probe's penalty."""
        probes, zero_shot = LinearProbes.of(task), task.pretrained.zero_shot_head()
        space = probes.space.beside_outputs(zero_shot, task.labelled.features)
        fit_all = partial(self.solve, energy=probes.energy)
        return space.expand_fit(cross_validate(space.rows, fit_all, c=self.c))

    def solve(self, rows: Labelled, strengths: Sequence[float], energy: np.ndarray) -> Heads:
        """A head for each inverse penalty.

        Args:
            rows: features (n, r + C), the zero-shot logits last.
            energy: (r,) sum of squares of the rows along each column.
        """
        mean, width = rows.features.mean(axis=0), len(energy)
        columns, text = np.split(rows.features - mean, [width], axis=1)
        problem = softmax_solver.SoftmaxProblem(
            columns,
            rows.target,
            rows.classes,
            text=text,
            multiplier_prior=1.0 / fit_temperature(rows.features[:, width:], rows.target),
            prior_strength=self.prior_strength,
            energy=energy,
        )
        heads = {}
        for c, found in problem.path(strengths):
            weight = np.hstack([found.weight, np.diag(found.multiplier)])  # (C, r + C)
            heads[(c,)] = Head((affine(weight, found.bias - weight @ mean),))
        return heads


class Clap(Method):
    """CLAP: cosine prototypes with a class-adaptive penalty towards the zero-shot weights.

    Logits are s · cos(x, w). The loss is the mean cross-entropy plus the mean over classes of
    λ_c ‖w_c − t_c‖², with λ_c the mean zero-shot probability of the true class on class c.

    Source: Silva-Rodríguez et al. 2024, section 4; the mean over classes is of the authors' code,
    where w and t are raw text embeddings: of norm R, their penalty is λ R² in units of here. With
    unit norm it does not depend on the text encoder's scale. L-BFGS replaces 300 epochs of SGD.
    """

    def fit(self, task: Task) -> Fit:
        """Cross-validation sets the temperature alone."""
        text, scale = task.pretrained.zero_shot_weights, task.pretrained.logit_scale
        embed = task.pretrained.embed()
        embedded = replace(task.labelled, features=Head(embed)(task.labelled.features))

        def fit_all(rows: Labelled) -> Heads:
            prototypes = solve_clap(rows, text, scale, clap_penalty(rows, text, scale))
            return {(): Head((affine(unit_norm(prototypes) * scale),))}

        return RowSpace(embed, None, embedded).expand_fit(cross_validate(embedded, fit_all))


def clap_penalty(rows: Labelled, text: np.ndarray, scale: float) -> np.ndarray:
    """(C,) λ: mean zero-shot probability of the true class; 1 for a class without rows."""
    own = softmax(rows.features @ text.T * scale)[np.arange(len(rows.target)), rows.target]
    counts = np.bincount(rows.target, minlength=len(text))
    sums = np.bincount(rows.target, weights=own, minlength=len(text))
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)


def solve_clap(rows: Labelled, text: np.ndarray, scale: float, penalty: np.ndarray) -> np.ndarray:
    """Prototypes (C, P), searched from the text (C, P); features (n, P), both unit-norm."""
    return softmax_solver.minimize_lbfgs(
        lambda prototypes: clap_objective(prototypes, rows, text, scale, penalty),
        text.astype(np.float64),
        np.ones(text.shape[1]),
        2.0 * np.maximum(penalty, 0.1)[:, None] / len(text),  # the loss is curved too
    )


def clap_objective(
    prototypes: np.ndarray, rows: Labelled, text: np.ndarray, scale: float, penalty: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean cross-entropy + mean over classes of λ ‖w − t‖², and its gradient (C, P)."""
    norms = np.linalg.norm(prototypes, axis=1, keepdims=True)
    unit = prototypes / norms
    logits = (rows.features @ unit.T.astype(rows.features.dtype)) * scale  # (n, C)
    apart = prototypes - text
    loss = log_loss(logits, rows.target) + float((penalty * (apart**2).sum(axis=1)).mean())
    error = softmax_solver.softmax_error(logits, rows.target) * (scale / len(rows.target))
    slope = error.T.astype(rows.features.dtype) @ rows.features  # (C, P), by the unit prototypes
    along = (slope * unit).sum(axis=1, keepdims=True)
    gradient = (slope - along * unit) / norms + 2.0 * penalty[:, None] * apart / len(text)
    return loss, gradient
