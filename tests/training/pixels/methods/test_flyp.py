from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss
from sports_clip_pipeline.training.pixels.methods.flyp import class_contrast
from torch.nn import functional


def test_two_photographs_of_one_class_by_hand() -> None:
    emb = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    target = torch.tensor([4, 4, 2])
    scale = torch.tensor(2.0)
    # Row of a class-4 photograph: logits 2, 2, 0, wanted ½, ½, 0; of the other: 0, 0, 2.
    own = -(2.0 - math.log(2 * math.exp(2) + 1))
    other = -(2.0 - math.log(math.exp(2) + 2))
    wanted = (2 * own + other) / 3
    assert float(class_contrast(emb, emb, target, scale)) == pytest.approx(wanted, abs=1e-6)


def test_different_classes_give_the_loss_of_clip() -> None:
    generator = torch.Generator().manual_seed(0)
    image, text = (
        functional.normalize(torch.randn(5, 8, generator=generator), dim=1) for _ in range(2)
    )
    scale = torch.tensor(7.0)
    wanted = ClipLoss()(image, text, scale)
    got = class_contrast(image, text, torch.arange(5), scale)
    np.testing.assert_allclose(float(got), float(wanted), rtol=1e-6)


def test_the_prompts_of_ones_own_class_are_not_pushed_away() -> None:
    image = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    text = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    shared = class_contrast(image, text, torch.tensor([1, 1]), torch.tensor(50.0))
    text.requires_grad_(True)
    class_contrast(image, text, torch.tensor([1, 1]), torch.tensor(50.0)).backward()
    assert float(shared) == pytest.approx(math.log(2))
    assert text.grad is not None
    assert float(text.grad.abs().max()) < 1e-5
