"""Adapters of CLIP features: Tip-Adapter, Tip-Adapter-F, ProLIP, and the notebook's MLP head."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.projections import Pretrained, unit_norm
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.fewshot import cross_validation
from sports_clip_pipeline.fewshot.base import Fit, Labelled, Method, Task
from sports_clip_pipeline.fewshot.ensemble import blend_with_zero_shot
from sports_clip_pipeline.fewshot.linear import Strengths
from sports_clip_pipeline.fewshot.softmax_solver import minimize_lbfgs
from sports_clip_pipeline.fewshot.subspace import RowSpace
from sports_clip_pipeline.parameters import Ints, between
from sports_clip_pipeline.predictor.head import Head, Operation, affine, columns, softmax

Steps = Annotated[Ints, between(1, 1_000_000)]
# Held-out rows that suffice for a temperature or a handful of candidates of a costly fit.
_MAX_HELD_OUT = 1500
_K_MEANS_ROUNDS = 8


@dataclass(frozen=True)
class KeyCache:
    """The cache of Tip-Adapter: keys (K, r) float32 unit-norm, and their classes (K,) int."""

    keys: np.ndarray
    key_class: np.ndarray
    classes: int

    def head(self, beta: float) -> Head:
        """Unit-norm rows (N, r) to Σ_k exp(−β (1 − x · k)) onehot_k (N, C)."""
        one_hot = np.eye(self.classes, dtype=np.float32)[self.key_class].T  # (C, K)
        similarity = affine(self.keys)
        affinity = Operation("affinity", {"sharpness": np.asarray(beta, dtype=np.float32)})
        return Head((similarity, affinity, affine(one_hot)))


class TipAdapter(Method):
    """Tip-Adapter: a key-value cache of labelled images, with zero-shot; training-free.

    A class's keys are its labelled rows, or as many k-means centres of them. Source: Zhang et al.
    2022, section 3.1; α is the two weights of the blend here.
    """

    keys_per_class: int = Field(32, ge=1, le=10_000, description="Keys of a class, at most.")
    beta: Strengths = Field(
        (3.0, 5.5, 10.0, 20.0, 40.0), description="Inverse temperatures β of the similarities."
    )

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses β and the weights of cache and zero-shot."""
        space = RowSpace.of(task.labelled, task.pretrained.scaled(root=True))

        def fit_all(rows: Labelled) -> cross_validation.Heads:
            cache = build_cache(rows, self.keys_per_class, task.seed)
            return {(beta,): cache.head(beta) for beta in self.beta}

        return blend_with_zero_shot(
            task,
            cross_validation.held_out_logits(space.rows, fit_all),
            ("beta",),
            lambda setting: space.expand(fit_all(space.rows)[setting]),
        )


def build_cache(rows: Labelled, most: int, seed: int) -> KeyCache:
    """At most `most` keys a class: its rows (features unit-norm), or so many centres of them."""
    rng = np.random.default_rng(seed)
    keys, key_class = [], []
    for label in range(rows.classes):
        own = rows.features[rows.target == label]
        centres = own if len(own) <= most else _spherical_k_means(own, most, rng)
        keys.append(centres)
        key_class.extend([label] * len(centres))
    return KeyCache(np.concatenate(keys), np.asarray(key_class, dtype=np.int64), rows.classes)


def _spherical_k_means(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, r) unit-norm centres of rows (n, r). Source: Dhillon and Modha 2001."""
    centres = rows[rng.permutation(len(rows))[:count]]
    for _ in range(_K_MEANS_ROUNDS):
        nearest = (rows @ centres.T).argmax(axis=1)
        member = np.eye(count, dtype=rows.dtype)[nearest]  # (n, count)
        sums = member.T @ rows
        alone = member.sum(axis=0) == 0  # a centre that lost all rows stays
        centres = unit_norm(np.where(alone[:, None], centres, sums))
    return centres


class TipAdapterF(TipAdapter):
    """Tip-Adapter-F: the cache's keys are trained by AdamW with a cosine schedule.

    β and the weights are those of the training-free cache; the weights are fitted again at the end.
    Source: Zhang et al. 2022, section 3.2.
    """

    steps: Steps = Field((20, 100), description="Training steps; the last ends the schedule.")
    lr: float = Field(1e-3, ge=1e-6, le=1, description="AdamW's peak learning rate.")
    batch_size: int = Field(256, ge=1, le=65_536, description="Images a step.")

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses β, the steps, and the weights of cache and zero-shot."""
        chosen = super().fit(task).hyperparameters
        beta, cache_weight = chosen["beta"], chosen["probe_weight"]
        space = RowSpace.of(task.labelled, task.pretrained.scaled(root=True))
        space = space.beside_outputs(task.pretrained.zero_shot_head(), task.labelled.features)
        first = columns(0, space.width)

        def train_all(rows: Labelled) -> cross_validation.Heads:
            features, text = np.split(rows.features, [space.width], axis=1)
            own = replace(rows, features=features)
            cache = build_cache(own, self.keys_per_class, task.seed)
            offset = text * np.float32(chosen["zero_shot_weight"])
            trained = self.train(cache, own, offset, beta, cache_weight, task.seed)
            return {(beta, steps): keys.head(beta) for steps, keys in trained.items()}

        def fit_all(rows: Labelled) -> cross_validation.Heads:
            heads = train_all(rows).items()
            return {setting: Head((first, *head.operations)) for setting, head in heads}

        return blend_with_zero_shot(
            task,
            cross_validation.held_out_logits(space.rows, fit_all, _MAX_HELD_OUT),
            ("beta", "steps"),
            lambda setting: space.expand(train_all(space.rows)[setting]),
        )

    def train(
        self,
        cache: KeyCache,
        rows: Labelled,
        offset: np.ndarray,
        beta: float,
        cache_weight: float,
        seed: int,
    ) -> dict[int, KeyCache]:
        """The cache after each number of steps.

        Args: rows: features (n, r) unit-norm. offset: (n, C) weighted zero-shot logits of them.
        """
        features, target = torch.from_numpy(rows.features), torch.from_numpy(rows.target)
        text = torch.from_numpy(offset)
        one_hot = functional.one_hot(torch.from_numpy(cache.key_class), cache.classes).float()
        keys = torch.from_numpy(cache.keys.copy()).requires_grad_()
        optimizer = torch.optim.AdamW([keys], lr=self.lr, eps=1e-4, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(self.steps))
        rng = np.random.default_rng(seed)
        trained = {}
        torch.set_flush_denormal(True)  # confident rows leave gradients near 1e-40, which are slow
        try:
            for step in range(1, max(self.steps) + 1):
                batch = torch.from_numpy(rng.permutation(len(target))[: self.batch_size])
                affinity = torch.exp(-beta * (1.0 - features[batch] @ keys.T))  # (B, K)
                logits = cache_weight * (affinity @ one_hot) + text[batch]
                loss = functional.cross_entropy(logits, target[batch])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                if step in self.steps:
                    trained[step] = replace(cache, keys=keys.detach().numpy().copy())
        finally:
            torch.set_flush_denormal(False)
        return trained


class ProLip(Method):
    """ProLIP: fine-tunes the image projection alone, with an L2 penalty to its pretrained weights.

    Loss: cross-entropy of s · cos(W x + b, t) plus λ ‖W − W₀‖², with λ = 1/N for N labels a class.

    Source: Fahes et al. 2024, "CLIP's Visual Embedding Projector is a Few-shot Cornucopia",
    section 4, where s is 100. L-BFGS replaces 300 steps of Adam.
    """

    def fit(self, task: Task) -> Fit:
        """Cross-validation sets the temperature alone."""
        pretrained = task.pretrained
        if pretrained.image_body:
            raise UserFacingError(
                "method prolip",
                "fine-tunes a linear image projection, and the CLIP model has another",
                "leave it out of finetune.select, or set pretrain.projections=linear",
            )
        space = RowSpace.of(task.labelled, pretrained.raw())
        space = space.rotated(np.linalg.eigh(space.rows.features.T @ space.rows.features)[1])
        basis, weight = space.basis, pretrained.image_weight
        origin = weight if basis is None else weight @ basis  # (P, r), of what the rows span

        def fit_all(rows: Labelled) -> cross_validation.Heads:
            moved = ProjectionProblem(rows, pretrained, origin).solve()
            text = affine(pretrained.zero_shot_weights * pretrained.logit_scale)
            first = affine(moved, pretrained.image_bias)
            return {(): Head((first, Operation("l2_normalise"), text))}

        def refit(setting: cross_validation.Setting) -> Head:
            """On pooled features; what the rows do not span stays as pretrained."""
            moved = fit_all(space.rows)[setting]
            step = moved.operations[0].arrays["weight"] - origin
            whole = weight + (step if basis is None else step @ basis.T)
            first = affine(whole, pretrained.image_bias)
            return Head((*space.operations, first, *moved.operations[1:]))

        held_out = cross_validation.held_out_logits(space.rows, fit_all, _MAX_HELD_OUT)
        return cross_validation.select_candidate(task.labelled.target, held_out, (), refit)


@dataclass(frozen=True)
class ProjectionProblem:
    """Mean cross-entropy + λ ‖W − W₀‖² of rows (n, r) float32, with the origin W₀ (P, r)."""

    rows: Labelled
    pretrained: Pretrained
    origin: np.ndarray

    @property
    def penalty(self) -> float:
        """λ = 1/N for N labels a class."""
        return len(self.pretrained.zero_shot_weights) / len(self.rows.target)

    def solve(self) -> np.ndarray:
        """W (P, r) at the minimum, searched from W₀ in columns of even curvature."""
        pooled, scale = self.rows.features, self.pretrained.logit_scale
        projected = pooled @ self.origin.T + self.pretrained.image_bias
        size = float((projected.astype(np.float64) ** 2).sum())  # n times the mean square norm
        energy = (pooled.astype(np.float64) ** 2).sum(axis=0)
        curvature = 0.03 * scale**2 * energy / max(size, 1e-12)
        step = minimize_lbfgs(
            lambda step: self.objective(self.origin + step),
            np.zeros(self.origin.shape),
            1.0 / np.sqrt(curvature + 2.0 * self.penalty),
            2.0 * self.penalty,
        )
        return self.origin + step

    def objective(self, weight: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient (P, r)."""
        pooled, target = self.rows.features, self.rows.target
        text, scale = self.pretrained.zero_shot_weights, self.pretrained.logit_scale
        kind = pooled.dtype
        projected = pooled @ weight.T.astype(kind) + self.pretrained.image_bias  # (n, P)
        norms = np.linalg.norm(projected, axis=1, keepdims=True)
        unit = projected / norms
        logits = unit @ text.T * kind.type(scale)  # (n, C)
        apart = weight - self.origin
        loss = cross_validation.log_loss(logits, target) + self.penalty * float((apart**2).sum())
        error = softmax(logits).astype(kind)
        error[np.arange(len(target)), target] -= 1.0
        slope = error @ (text * kind.type(scale / len(target)))  # (n, P), by `unit`
        slope -= (slope * unit).sum(axis=1, keepdims=True) * unit
        gradient = (slope / norms).T @ pooled + 2.0 * self.penalty * apart
        return loss, gradient.astype(np.float64)


class NotebookMlp(Method):
    """The 2022 notebook's MLP head on image embeddings: 256 → 128 → classes, ReLU, Adam."""

    steps: Steps = Field((100, 300, 1000), description="Optimizer steps to choose from.")
    lr: float = Field(1e-3, ge=1e-6, le=1, description="Adam's learning rate.")
    batch_size: int = Field(128, ge=1, le=65_536, description="Images a step.")

    def fit(self, task: Task) -> Fit:
        """Cross-validation chooses the number of steps."""
        return cross_validation.cross_validate(
            task.labelled, partial(self._train, task), steps=self.steps
        )

    def _train(self, task: Task, rows: Labelled, steps: Sequence[int]) -> cross_validation.Heads:
        """The head after each number of steps."""
        embed, width = task.pretrained.embed(), task.pretrained.zero_shot_weights.shape[1]
        heads = {}
        # Unit-norm embeddings have entries near 1/√P; the first layer expects them near 1.
        embeddings = torch.from_numpy(Head(embed)(rows.features) * np.float32(np.sqrt(width)))
        target = torch.from_numpy(rows.target)
        torch.manual_seed(task.seed)
        model = nn.Sequential(
            nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
            nn.Linear(128, rows.classes),
        )  # fmt: skip
        optimizer = torch.optim.Adam(model.parameters(), lr=self.lr, fused=True)
        batches = _batches(len(target), self.batch_size, np.random.default_rng(task.seed))
        for step in range(1, max(steps) + 1):
            batch = torch.from_numpy(next(batches))
            loss = functional.cross_entropy(model(embeddings[batch]), target[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if step in steps:
                heads[(step,)] = Head((*embed, *_operations(model, np.sqrt(width))))
        return heads


def _batches(rows: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    while True:
        order = rng.permutation(rows)
        for start in range(0, rows, size):
            yield order[start : start + size]


def _operations(model: nn.Sequential, input_scale: float) -> list[Operation]:
    """The layers as operations; the first includes the scale of its input in its weight."""
    operations: list[Operation] = []
    for layer in model:
        if isinstance(layer, nn.Linear):
            scale = 1.0 if operations else input_scale
            weight = layer.weight.detach().numpy() * np.float32(scale)
            operations.append(affine(weight, layer.bias.detach().numpy().copy()))
        else:
            operations.append(Operation("relu"))
    return operations
