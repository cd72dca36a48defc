from __future__ import annotations

import math

import pytest
import torch
from open_clip.loss import SigLipLoss

from sports_clip_pipeline.clip.losses import multi_positive_siglip, starting_bias
from tests.objectives.making import embeddings


def test_the_hand_worked_value_of_orthogonal_images() -> None:
    """Image 0 owns two captions that equal it, image 1 one; scale 2, bias -1."""
    eye = torch.eye(2, dtype=torch.float64)
    owner = torch.tensor([0, 0, 1])
    loss = multi_positive_siglip(eye, eye[owner], owner, torch.tensor(2.0), torch.tensor(-1.0))
    own = math.log(1 + math.exp(-(2 - 1)))  # a caption and its image: cosine 1
    other = math.log(1 + math.exp(0 - 1))  # cosine 0, and the answer is no
    assert float(loss) == pytest.approx((3 * own + 3 * other) / 3, rel=1e-12)


def test_one_caption_an_image_is_open_clips_loss() -> None:
    image, text = embeddings(6, 6)
    scale, bias = torch.tensor(9.0).double(), torch.tensor(-3.0).double()
    ours = multi_positive_siglip(image, text, torch.arange(6), scale, bias)
    assert float(ours) == pytest.approx(float(SigLipLoss()(image, text, scale, bias)), rel=1e-12)


def test_uneven_captions_agree_with_the_naive_twin() -> None:
    owner = [2, 0, 1, 1, 3, 1, 0, 3, 3]
    image, text = embeddings(4, len(owner))
    total = 0.0
    for m, caption in enumerate(text):
        for n, picture in enumerate(image):
            logit = 5.0 * float(caption @ picture) - 2.0
            total += math.log(1 + math.exp(-logit if owner[m] == n else logit))
    scale, bias = torch.tensor(5.0).double(), torch.tensor(-2.0).double()
    ours = multi_positive_siglip(image, text, torch.tensor(owner), scale, bias)
    assert float(ours) == pytest.approx(total / len(owner), rel=1e-12)


def test_gradients_agree_with_finite_differences() -> None:
    owner = torch.tensor([0, 1, 1, 2])
    image, text = embeddings(3, 4)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
    leaves = (image.requires_grad_(), text.requires_grad_(), scale, bias)
    assert torch.autograd.gradcheck(
        lambda i, t, s, b: multi_positive_siglip(i, t, owner, s, b), leaves
    )


@pytest.mark.parametrize("images", [2, 128])
def test_at_the_starting_bias_pull_and_push_are_even(images: int) -> None:
    """With all cosines 0, the gradients of the own and of all other images cancel."""
    bias = torch.tensor(starting_bias(images), dtype=torch.float64, requires_grad=True)
    image, text = torch.zeros(2, images, 4, dtype=torch.float64)
    loss = multi_positive_siglip(image, text, torch.arange(images), torch.tensor(10.0), bias)
    loss.backward()
    assert float(bias.grad) == pytest.approx(0.0, abs=1e-12)


def test_wrong_owners_and_single_images_are_refused() -> None:
    image, text = embeddings(3, 4)
    one = torch.tensor(1.0)
    with pytest.raises(ValueError, match=r"owner has shape \(3,\) for 4 captions"):
        multi_positive_siglip(image, text, torch.tensor([0, 1, 2]), one, one)
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        starting_bias(1)
