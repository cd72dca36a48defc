from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sports_clip_pipeline.clip.losses import OBJECTIVES
from sports_clip_pipeline.pipelines.pretrain.config import LOSSES
from sports_clip_pipeline.training.distributed import CPU
from sports_clip_pipeline.training.gradient_cache import backward_in_chunks
from tests.training.corpus import ONE_BLOCK, random_projections

IMAGE_INDEX = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 4, 5, 6])
# Images of a chunk, the trailing one smaller, and the captions that are theirs.
PARTS = [(slice(0, 3), slice(0, 6)), (slice(3, 6), slice(6, 10)), (slice(6, 7), slice(10, 11))]


class Encoders(nn.Module):
    """Two small encoders with dropout, a scale and a bias."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image = nn.Sequential(nn.Linear(5, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 8))
        self.text = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 8))
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.bias = nn.Parameter(torch.tensor(-2.0))
        self.double()

    def chunk(self, images: torch.Tensor, texts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sides = (self.image(images), self.text(texts))
        return functional.normalize(sides[0], dim=1), functional.normalize(sides[1], dim=1)


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_one_graph_over_the_same_chunks(loss: str) -> None:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(7, 5, generator=generator).double()
    tokens = torch.randn(11, 4, generator=generator).double()
    objective = OBJECTIVES[loss]

    def encoders() -> tuple[Encoders, list[Callable[[], Any]], Callable[..., torch.Tensor]]:
        model = Encoders().train()
        chunks = [lambda i=i, t=t: model.chunk(pixels[i], tokens[t]) for i, t in PARTS]
        return (
            model,
            chunks,
            lambda image, text: objective.loss(
                image, text, IMAGE_INDEX, model.scale.exp(), model.bias
            ),
        )

    one, chunks, loss_of = encoders()
    torch.manual_seed(5)
    sides = zip(*(chunk() for chunk in chunks), strict=True)
    wanted = loss_of(*(torch.cat(side) for side in sides))
    wanted.backward()
    after = torch.rand(3)

    cached, chunks, loss_of = encoders()
    torch.manual_seed(5)
    found = backward_in_chunks(cached, chunks, loss_of, lambda value: value, "cpu")
    assert torch.equal(torch.rand(3), after)  # what follows draws what it would have drawn
    assert float(found) == pytest.approx(float(wanted.detach()), rel=1e-12)
    expected = gradients(one)
    assert gradients(cached).keys() == expected.keys()
    assert ("bias" in expected) == objective.biased
    for name, value in gradients(cached).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-10, atol=1e-12)


def test_the_sum_of_the_chunks_losses_has_another_gradient() -> None:
    """What plain accumulation would do: the check above can fail."""
    pixels, tokens = torch.randn(7, 5).double(), torch.randn(11, 4).double()
    objective, model = OBJECTIVES["info_nce"], Encoders().eval()
    for images, texts in PARTS[:2]:
        image_index = IMAGE_INDEX[texts] - images.start
        objective.loss(
            *model.chunk(pixels[images], tokens[texts]), image_index, model.scale.exp(), None
        ).backward()
    summed = gradients(model)
    model.zero_grad()
    chunks = [lambda i=i, t=t: model.chunk(pixels[i], tokens[t]) for i, t in PARTS[:2]]
    backward_in_chunks(
        model,
        chunks,
        lambda i, t: objective.loss(i, t, IMAGE_INDEX[:10], model.scale.exp(), None),
        lambda v: v,
        "cpu",
    )
    assert not torch.allclose(
        summed["image.0.weight"], gradients(model)["image.0.weight"], rtol=0.05
    )


def test_running_statistics_are_updated_once() -> None:
    def made() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)).train()

    rows = torch.randn(8, 4)
    plain, cached = made(), made()
    plain(rows[:4]), plain(rows[4:])
    chunks = [lambda i=i: (cached(rows[i : i + 4]), cached[0](rows[i : i + 4])) for i in (0, 4)]
    backward_in_chunks(cached, chunks, lambda i, t: (i * t).sum(), lambda v: v, "cpu")
    for name, value in plain[1].named_buffers():
        assert torch.equal(value, dict(cached[1].named_buffers())[name]), name
    assert cached[1].momentum == 0.1


@pytest.mark.parametrize("loss", ["info_nce", "siglip"])
def test_encoders_get_the_same_gradient_in_chunks_as_at_once(corpus, loss: str) -> None:
    """Dropout off and norms frozen, so that chunks draw and normalise as the whole batch does."""

    def gradient(accumulation: int) -> tuple[float, dict[str, torch.Tensor]]:
        config = ONE_BLOCK.model_copy(update={"loss": loss, "encoder_accumulation": accumulation})
        bias = -2.0 if loss == "siglip" else None
        task = corpus.task(config, start=replace(random_projections(corpus), logit_bias=bias))
        task.model.eval()
        images = np.arange(5)
        captions = [task.captions[n][:2] for n in images]
        (pixels,) = task._pixels(task.train, [(images, None)])
        value = task.backward((images, captions, pixels), CPU.scaler())
        return float(value), gradients(task.model)

    at_once, in_chunks = gradient(1), gradient(3)
    assert in_chunks[0] == pytest.approx(at_once[0], rel=1e-5)
    assert in_chunks[1].keys() == at_once[1].keys()
    for name, value in in_chunks[1].items():
        size = float(at_once[1][name].abs().max())
        torch.testing.assert_close(value, at_once[1][name], rtol=1e-3, atol=1e-4 * size + 1e-7)
