"""The 2022 notebook's head: a small perceptron over the projected image embedding.

Source: the notebook "Sports Image Classifier" (256 → 128 → classes, ReLU, Adam). Its training
length was chosen on the split it was judged on; here k-fold inside the labels chooses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.training.methods.cross_validation import choose_by_folds
from sports_clip_pipeline.training.methods.interface import Fit, Labelled, TextAnchors

WIDTHS = (256, 128)


def fit(
    labelled: Labelled,
    anchors: TextAnchors,
    config: FinetuneConfig,
    seed: int,
    unlabelled: np.ndarray | None = None,
) -> Fit:
    """The perceptron; k-fold chooses how long it trains."""

    def fit_all(rows: Labelled) -> dict[str, Head]:
        return {str(steps): head for steps, head in _train(rows, anchors, config, seed)}

    def refit(name: str) -> Head:
        """What `fit_all` gives under this name, without the steps beyond."""
        alone = replace(config, mlp_steps=(int(name),))
        ((_, head),) = _train(labelled, anchors, alone, seed)
        return head

    return choose_by_folds(labelled, fit_all, lambda name: {"steps": int(name)}, refit)


def _train(
    rows: Labelled, anchors: TextAnchors, config: FinetuneConfig, seed: int
) -> Iterator[tuple[int, Head]]:
    """The head after each of the numbers of steps to choose from."""
    embed = anchors.embed()
    width = anchors.anchors.shape[1]
    # Unit-norm embeddings have entries near 1/√P; the first layer wants them near 1.
    embeddings = torch.from_numpy(Head(embed)(rows.features) * np.float32(np.sqrt(width)))
    target = torch.from_numpy(rows.target)
    torch.manual_seed(seed)
    model = _perceptron(width, rows.classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.mlp_lr, fused=True)
    rng = np.random.default_rng(seed)
    batches = _batches(len(target), config.mlp_batch_size, rng)
    for step in range(1, max(config.mlp_steps) + 1):
        batch = torch.from_numpy(next(batches))
        loss = functional.cross_entropy(model(embeddings[batch]), target[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step in config.mlp_steps:
            yield step, Head((*embed, *_operations(model, np.sqrt(width))))


def _perceptron(width: int, classes: int) -> nn.Sequential:
    first, second = WIDTHS
    return nn.Sequential(
        nn.Linear(width, first),
        nn.ReLU(),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.Linear(second, classes),
    )


def _batches(rows: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    while True:
        order = rng.permutation(rows)
        for start in range(0, rows, size):
            yield order[start : start + size]


def _operations(model: nn.Sequential, input_scale: float) -> list[Operation]:
    """The layers as operations; the first takes the scale of its input into its weight."""
    operations = []
    scale = input_scale
    for layer in model:
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().numpy() * np.float32(scale)
            bias = layer.bias.detach().numpy().copy()
            operations.append(Operation("affine", {"weight": weight, "bias": bias}))
            scale = 1.0
        else:
            operations.append(Operation("relu"))
    return operations
