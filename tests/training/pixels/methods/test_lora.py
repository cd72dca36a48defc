from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from sports_clip_pipeline.training.pixels.methods.lora import LowRankLinear, inject, merge
from tests.training.pixels.making import start, tiny_vit
from torch import nn

from sports_clip_pipeline.errors import UserFacingError


def outputs(tower: nn.Module) -> np.ndarray:
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return tower.eval()(pixels).numpy()


def test_updates_that_start_at_zero_change_nothing() -> None:
    tower = tiny_vit()
    before = outputs(tower)
    inject(tower, rank=2, alpha=4.0, seed=0)
    np.testing.assert_array_equal(outputs(tower), before)


def test_only_the_updates_train() -> None:
    tower = tiny_vit()
    inject(tower, rank=2, alpha=4.0, seed=0)
    trained = {name for name, value in tower.named_parameters() if value.requires_grad}
    layers = {f"blocks.{b}.attn.{layer}" for b in (0, 1) for layer in ("qkv", "proj")}
    assert trained == {f"{layer}.{part}" for layer in layers for part in ("down", "up")}


def test_merged_layers_do_what_the_updated_ones_did() -> None:
    plain = tiny_vit()
    tower = deepcopy(plain)
    inject(tower, rank=2, alpha=4.0, seed=0)
    for module in tower.modules():
        if isinstance(module, LowRankLinear):
            module.up.data.normal_(generator=torch.Generator().manual_seed(1))
    updated = outputs(tower)
    assert np.abs(updated - outputs(plain)).max() > 1e-3
    merge(tower)
    assert tower.state_dict().keys() == plain.state_dict().keys()
    np.testing.assert_allclose(outputs(tower), updated, atol=1e-5)


def test_an_update_by_hand() -> None:
    base = nn.Linear(2, 1)
    base.weight.data = torch.tensor([[1.0, 2.0]])
    base.bias.data = torch.tensor([0.5])
    layer = LowRankLinear(base, rank=1, alpha=3.0, seed=0)
    layer.down.data = torch.tensor([[1.0, -1.0]])
    layer.up.data = torch.tensor([[2.0]])
    # 1·4 + 2·1 + 0.5 + 3 · 2 · (4 − 1)
    assert float(layer(torch.tensor([[4.0, 1.0]])).detach()) == pytest.approx(24.5)


def test_a_tower_without_attention_is_refused() -> None:
    with pytest.raises(UserFacingError, match="no attention layers"):
        inject(start().pretrained(), rank=2, alpha=4.0, seed=0)
