from __future__ import annotations

import numpy as np
import torch

from sports_clip_pipeline.predictor.head import Head
from sports_clip_pipeline.training.methods.notebook_mlp import _batches, _operations, _perceptron


def test_the_head_is_the_perceptron_on_scaled_inputs() -> None:
    torch.manual_seed(0)
    model = _perceptron(8, 3)
    x = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    with torch.no_grad():
        wanted = model(torch.from_numpy(x * 4)).numpy()
    np.testing.assert_allclose(Head(tuple(_operations(model, 4.0)))(x), wanted, atol=1e-5)


def test_an_epoch_of_batches_holds_every_row_once() -> None:
    batches = _batches(5, 2, np.random.default_rng(0))
    for _ in range(2):
        epoch = [next(batches) for _ in range(3)]
        assert sorted(np.concatenate(epoch).tolist()) == [0, 1, 2, 3, 4]
