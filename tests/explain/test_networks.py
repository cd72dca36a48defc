"""Networks under explanation: target layers, token grids, scores and the networks themselves."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from open_clip.transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.folder import LoadedClip, load_clip, write_clip_folder
from sports_clip_pipeline.clip.projections import Projections
from sports_clip_pipeline.data.transforms import ImageTransform
from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.explain.cam import class_activation_map
from sports_clip_pipeline.explain.networks import (
    NetworkPlan,
    TextTarget,
    TokenGrid,
    find_layer,
    frozen,
    layer_map,
    token_grid,
)
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor

PROMPTS = ("a photo of a ball.", "a photo of a field.")


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> NetworkPlan:
    transform = image_preprocessing("lite0", 64, "centre")
    own = Head((Operation("affine", {"weight": draw(2, 1280), "bias": draw(2)}),))
    encoders = (EncoderInput("lite0", transform, (), 1280),)
    predictor = Predictor(("ball", "field"), encoders, own, temperature=2.0)
    folder = tmp_path_factory.mktemp("networks") / "clip"
    projections = Projections(draw(16, 1280), draw(16), draw(16, 384), 2.0)
    write_clip_folder(folder, projections, "lite0", "minilm", transform, 32)
    embedded = load_clip(folder).embed_texts(PROMPTS)
    return NetworkPlan(
        ("classifier", "prompts"), predictor, folder, PROMPTS, embedded, "auto", batch=2
    )


@pytest.fixture(scope="module")
def networks(plan):
    return pickle.loads(pickle.dumps(plan)).build()  # as in another process


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_probabilities_are_the_softmax_of_scores_over_the_temperature(networks, pixels):
    for network, temperature in zip(networks, (2.0, 1.0), strict=True):
        with torch.no_grad():
            scores = network.module(pixels).numpy() / temperature
        expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(network.probabilities(pixels), expected, rtol=2e-3, atol=1e-5)


def test_the_layers_grid_is_found(networks, pixels):
    assert [network.grid(pixels[0]) for network in networks] == [(2, 2), (2, 2)]


def test_head_and_stages_are_tensors_of_the_very_network(networks):
    for network in networks:
        own = {id(t) for t in (*network.module.parameters(), *network.module.buffers())}
        assert all(id(tensor) in own for tensor in network.head)
        assert all(id(tensor) in own for stage in network.stages for tensor in stage)
        assert len(network.stages) > 3
    assert [tuple(tensor.shape) for tensor in networks[0].head] == [(2, 1280), (2,)]
    assert tuple(networks[1].head[-1].shape) == (2, 16)  # the texts


def test_another_head_or_prompt_is_another_identity(plan):
    other = replace(plan.predictor, head=plan.predictor.head.scaled(2.0))
    identities = {
        plan.identity(),
        replace(plan, predictor=other).identity(),
        replace(plan, prompts=("a ball", "a field")).identity(),
        replace(plan, kinds=("classifier",)).identity(),
    }
    assert len(identities) == 4
    assert plan.identity() == replace(plan, batch=7).identity()


@pytest.fixture
def half_trained() -> nn.Sequential:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    module[0].requires_grad_(False)
    module[1].eval()
    return module


def state(module: nn.Module) -> tuple[list[bool], list[bool]]:
    learnable = [weight.requires_grad for weight in module.parameters()]
    return [part.training for part in module.modules()], learnable


def test_frozen_is_eval_mode_with_autograd_and_restores_everything_even_after_an_error(
    half_trained,
):
    before = state(half_trained)
    with pytest.raises(RuntimeError, match="within"), torch.no_grad(), frozen(half_trained):
        assert not any(any(flags) for flags in state(half_trained))
        assert torch.is_grad_enabled()
        raise RuntimeError("within")
    assert state(half_trained) == before


def test_the_default_layer_is_the_last_map_and_a_dotted_name_is_followed(lite0):
    assert find_layer(lite0) is lite0.bn2
    resnet = timm.create_model("resnet18", pretrained=False)
    assert find_layer(resnet) is resnet.layer4
    assert find_layer(lite0, "blocks.6.0.conv_pw") is lite0.blocks[6][0].conv_pw


@pytest.mark.parametrize("name", ["blocks.9", "", "bn2.nothing"])
def test_a_layer_that_is_not_there_is_an_error_that_lists_what_is(lite0, name):
    with pytest.raises(UserFacingError, match=r"cam\.layer.*no such layer.*conv_head"):
        find_layer(lite0, name)


def test_an_unknown_kind_of_encoder_asks_for_a_name():
    with pytest.raises(UserFacingError, match=r"cam\.layer = auto.*name one of"):
        find_layer(nn.Sequential(nn.Linear(2, 2)))


@pytest.fixture(scope="module")
def vit():
    """48 × 32 pixels in patches of 16: three rows of two, with a class token and two registers."""
    torch.manual_seed(0)
    return timm.models.VisionTransformer(
        img_size=(48, 32), patch_size=16, embed_dim=24, depth=2, num_heads=2, num_classes=5,
        reg_tokens=2,
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def vit_pixels() -> torch.Tensor:
    return torch.randn(1, 3, 48, 32, generator=torch.Generator().manual_seed(1))


def test_the_default_layer_is_the_first_norm_of_the_last_block(vit):
    assert find_layer(vit) is vit.blocks[1].norm1
    assert find_layer(vit, "blocks.0.norm2") is vit.blocks[0].norm2


def test_the_grid_is_read_from_the_model(vit):
    grid = token_grid(torch.nn.Sequential(vit, torch.nn.ReLU()), vit.blocks[0].norm1)
    assert grid == TokenGrid(3, 2, 3)


def test_tokens_lie_over_the_image_row_by_row():
    tokens = torch.tensor([[[9.0], [0.0], [1.0], [2.0], [3.0], [4.0], [5.0]]])  # one prefix
    assert layer_map(tokens, TokenGrid(3, 2, 1))[0, 0].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert layer_map(tokens, TokenGrid(2, 2, 1)) is None


def test_the_map_is_the_one_of_the_patches_gradient(vit, vit_pixels):
    stored = {}
    hook = vit.blocks[1].norm1.register_forward_hook(
        lambda _, __, out: stored.setdefault("tokens", out.detach().requires_grad_())
    )
    score = vit(vit_pixels)[0, 3]
    hook.remove()
    tokens = stored["tokens"]
    (gradient,) = torch.autograd.grad(score, tokens)
    patches, slopes = tokens[0, 3:].detach(), gradient[0, 3:]
    weights = slopes.mean(dim=0)  # (K,) over the six patches
    heat = (patches @ weights).clamp(min=0).reshape(3, 2).numpy()
    ours = class_activation_map(vit, find_layer(vit), vit_pixels, 3, image="a.jpg")
    assert ours.shape == (48, 32)
    coarse = (heat - heat.min()) / np.ptp(heat)
    rows, columns = np.unravel_index(coarse.argmax(), coarse.shape)
    assert ours[16 * rows + 8, 16 * columns + 8] > 0.9
    centres = ours[8::16, 8::16]
    assert np.corrcoef(centres.ravel(), coarse.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam", "eigencam", "scorecam"])
def test_every_method_takes_tokens(vit, vit_pixels, name):
    heat = class_activation_map(vit, find_layer(vit), vit_pixels, 1, image="a.jpg", method=name)
    assert heat.shape == (48, 32) and heat.max() == 1.0


@pytest.mark.parametrize(
    ("layer", "error"), [("blocks.1.mlp", "gradient is zero everywhere"), ("head", "not a map")]
)
def test_layers_of_a_transformer_without_a_map_are_an_error(vit, vit_pixels, layer, error):
    # An encoder that uses its class token ignores the patches of its last block.
    with pytest.raises(UserFacingError, match=error):
        class_activation_map(vit, vit.get_submodule(layer), vit_pixels, 1, image="a.jpg")


def test_open_clips_own_transformer_is_laid_out_as_well(vit_pixels):
    torch.manual_seed(0)
    encoder = VisionTransformer(
        image_size=32, patch_size=16, width=16, layers=2, heads=2, mlp_ratio=2.0, output_dim=4
    ).eval()
    layer = find_layer(encoder)
    assert layer is encoder.transformer.resblocks[1].ln_1
    assert token_grid(encoder, layer) == TokenGrid(2, 2, 1)
    heat = class_activation_map(encoder, layer, vit_pixels[..., :32, :], 2, image="a.jpg")
    assert heat.shape == (32, 32)


class TinyClip(nn.Module):
    """Red, green and blue means are the embedding; a text's counts its letters r, g, b."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Module()
        self.visual.trunk = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False))
        with torch.no_grad():
            self.visual.trunk[0].weight.copy_(torch.eye(3)[:, :, None, None])
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.texts_encoded = 0

    def encode_image(self, pixels: torch.Tensor, normalize: bool) -> torch.Tensor:
        assert normalize
        return functional.normalize(self.visual.trunk(pixels).mean(dim=(2, 3)), dim=1)

    def encode_text(self, tokens: torch.Tensor, normalize: bool) -> torch.Tensor:
        assert normalize
        self.texts_encoded += len(tokens)
        return functional.normalize(tokens.float(), dim=1)


def tokenize(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[text.count(letter) for letter in "rgb"] for text in texts])


@pytest.fixture
def target() -> TextTarget:
    clip = TinyClip().eval()
    loaded = LoadedClip(clip, ImageTransform(2, (0, 0, 0), (1, 1, 1)), tokenize)
    return TextTarget(clip, torch.from_numpy(loaded.embed_texts(["r", "gg", "rb"])))


def test_the_score_is_the_scaled_cosine(target):
    pixels = torch.zeros(1, 3, 2, 2)
    pixels[0, 0] = 3.0
    pixels[0, 1] = 4.0
    scores = target(pixels)[0].detach().numpy()
    np.testing.assert_allclose(scores, [6.0, 8.0, 6.0 / math.sqrt(2)], rtol=1e-6)


def test_the_map_of_a_text_lights_up_what_it_names(target):
    pixels = torch.zeros(1, 3, 2, 2)
    pixels[0, 0, 0, 0] = 1.0
    pixels[0, 1, 1, 1] = 1.0
    red, green = (
        class_activation_map(target, target.encoder[0], pixels, text, image="a.jpg")
        for text in (0, 1)
    )
    np.testing.assert_allclose(red, [[1, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(green, [[0, 0], [0, 1]], atol=1e-6)


def test_text_embeddings_are_unit_norm_and_encoded_once_without_a_graph(target):
    for _ in range(3):
        target(torch.rand(1, 3, 2, 2))
    assert target.clip.texts_encoded == 3
    np.testing.assert_allclose(target.text_emb.norm(dim=1), 1.0, rtol=1e-6)
    assert not target.text_emb.requires_grad and not target.text_emb.is_inference()
