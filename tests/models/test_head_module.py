from __future__ import annotations

import numpy as np
import torch

from sports_clip_pipeline.predictor.head import Head, HeadModule, Operation


def test_an_affine_head_has_its_weight_as_gradient() -> None:
    weight = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    module = HeadModule(Head((Operation("affine", {"weight": weight, "bias": np.zeros(2)}),)))
    x = torch.ones(1, 2, requires_grad=True)
    module(x)[0, 1].backward()
    assert x.grad.tolist() == [[3.0, 4.0]]


def test_parameters_are_buffers_and_move_with_the_module() -> None:
    operation = Operation("standardise", {"mean": np.zeros(2), "scale": np.ones(2)})
    module = HeadModule(Head((operation,))).double()
    assert not list(module.parameters())
    assert module(torch.zeros(1, 2, dtype=torch.float64)).dtype == torch.float64
