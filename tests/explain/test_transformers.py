"""Maps of vision transformers: the grid is read from the model."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from open_clip.transformer import VisionTransformer

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.cam import class_activation_map
from sports_clip_pipeline.explain.targets import TokenGrid, find_layer, token_grid


@pytest.fixture(scope="module")
def vit():
    """48 × 32 pixels in patches of 16: three rows of two, with a class token and two registers."""
    torch.manual_seed(0)
    return timm.models.VisionTransformer(
        img_size=(48, 32), patch_size=16, embed_dim=24, depth=2, num_heads=2, num_classes=5,
        reg_tokens=2,
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randn(1, 3, 48, 32, generator=torch.Generator().manual_seed(1))


def test_the_default_layer_is_the_first_norm_of_the_last_block(vit):
    assert find_layer(vit) is vit.blocks[1].norm1
    assert find_layer(vit, "blocks.0.norm2") is vit.blocks[0].norm2


def test_the_grid_is_read_from_the_model(vit):
    grid = token_grid(torch.nn.Sequential(vit, torch.nn.ReLU()), vit.blocks[0].norm1)
    assert grid == TokenGrid(3, 2, 3)


def test_tokens_lie_over_the_image_row_by_row():
    tokens = torch.tensor([[[9.0], [0.0], [1.0], [2.0], [3.0], [4.0], [5.0]]])  # one prefix
    assert TokenGrid(3, 2, 1).as_map(tokens)[0, 0].tolist() == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ValueError, match="7 tokens are not 2 × 2"):
        TokenGrid(2, 2, 1).as_map(tokens)


def test_the_map_is_the_one_of_the_patches_gradient(vit, pixels):
    kept = {}
    hook = vit.blocks[1].norm1.register_forward_hook(
        lambda _, __, out: kept.setdefault("tokens", out.detach().requires_grad_())
    )
    score = vit(pixels)[0, 3]
    hook.remove()
    tokens = kept["tokens"]
    (gradient,) = torch.autograd.grad(score, tokens)
    patches, slopes = tokens[0, 3:].detach(), gradient[0, 3:]
    weights = slopes.mean(dim=0)  # (K,) over the six patches
    heat = (patches @ weights).clamp(min=0).reshape(3, 2).numpy()
    ours = class_activation_map(vit, find_layer(vit), pixels, 3, image="a.jpg")
    assert ours.shape == (48, 32)
    coarse = (heat - heat.min()) / np.ptp(heat)
    rows, columns = np.unravel_index(coarse.argmax(), coarse.shape)
    assert ours[16 * rows + 8, 16 * columns + 8] > 0.9
    centres = ours[8::16, 8::16]
    assert np.corrcoef(centres.ravel(), coarse.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam", "eigencam", "scorecam"])
def test_every_method_takes_tokens(vit, pixels, name):
    heat = class_activation_map(vit, find_layer(vit), pixels, 1, image="a.jpg", method=name)
    assert heat.shape == (48, 32) and heat.max() == 1.0


def test_the_last_blocks_own_patches_have_no_gradient_which_is_said(vit, pixels):
    with pytest.raises(UserFacingError, match="gradient is zero everywhere"):
        _patches_only(vit, pixels)


def _patches_only(vit, pixels):
    class_activation_map(vit, vit.blocks[1].mlp, pixels, 1, image="a.jpg")


def test_a_layer_of_a_transformer_without_tokens_is_refused(vit, pixels):
    with pytest.raises(UserFacingError, match="not a map"):
        class_activation_map(vit, vit.head, pixels, 1, image="a.jpg")


def test_open_clips_own_transformer_is_laid_out_as_well(pixels):
    torch.manual_seed(0)
    tower = VisionTransformer(
        image_size=32, patch_size=16, width=16, layers=2, heads=2, mlp_ratio=2.0, output_dim=4
    ).eval()
    layer = find_layer(tower)
    assert layer is tower.transformer.resblocks[1].ln_1
    assert token_grid(tower, layer) == TokenGrid(2, 2, 1)
    heat = class_activation_map(tower, layer, pixels[..., :32, :], 2, image="a.jpg")
    assert heat.shape == (32, 32)
