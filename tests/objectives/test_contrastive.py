from __future__ import annotations

import math

import pytest
import torch
from open_clip.loss import ClipLoss

from sports_clip_pipeline.clip.losses import multi_positive_info_nce
from tests.objectives.making import embeddings


def naive(image: torch.Tensor, text: torch.Tensor, owner: list[int], scale: float) -> float:
    """Both directions, one logarithm at a time."""
    cosine = (scale * text @ image.T).tolist()
    captions, images = len(text), len(image)
    t2i = 0.0
    for m in range(captions):
        total = sum(math.exp(cosine[m][n]) for n in range(images))
        t2i -= math.log(math.exp(cosine[m][owner[m]]) / total) / captions
    i2t = 0.0
    for n in range(images):
        total = sum(math.exp(cosine[m][n]) for m in range(captions))
        own = [m for m in range(captions) if owner[m] == n]
        i2t -= sum(math.log(math.exp(cosine[m][n]) / total) for m in own) / len(own) / images
    return (t2i + i2t) / 2


def test_the_hand_worked_value_of_orthogonal_images() -> None:
    """Image 0 owns two captions that equal it, image 1 one; the scale is 1."""
    eye = torch.eye(2, dtype=torch.float64)
    text = eye[[0, 0, 1]]
    loss = multi_positive_info_nce(eye, text, torch.tensor([0, 0, 1]), torch.tensor(1.0))
    e = math.e
    t2i = math.log((e + 1) / e)
    i2t = (math.log((2 * e + 1) / e) + math.log((e + 2) / e)) / 2
    assert float(loss) == pytest.approx((t2i + i2t) / 2, rel=1e-12)


def test_one_caption_an_image_is_open_clips_loss() -> None:
    image, text = embeddings(7, 7)
    scale = torch.tensor(14.3, dtype=torch.float64)
    ours = multi_positive_info_nce(image, text, torch.arange(7), scale)
    assert float(ours) == pytest.approx(float(ClipLoss()(image, text, scale)), rel=1e-12)


def test_uneven_captions_agree_with_the_naive_twin() -> None:
    owner = [2, 0, 1, 1, 3, 1, 0, 3, 3]
    image, text = embeddings(4, len(owner))
    ours = multi_positive_info_nce(image, text, torch.tensor(owner), torch.tensor(5.0).double())
    assert float(ours) == pytest.approx(naive(image, text, owner, 5.0), rel=1e-12)


def test_the_order_of_captions_does_not_matter() -> None:
    owner = torch.tensor([0, 0, 1, 1, 2])
    image, text = embeddings(3, 5)
    order = torch.tensor([4, 2, 0, 3, 1])
    scale = torch.tensor(10.0)
    before = multi_positive_info_nce(image, text, owner, scale)
    after = multi_positive_info_nce(image, text[order], owner[order], scale)
    assert float(before) == pytest.approx(float(after), rel=1e-12)


def test_gradients_agree_with_finite_differences() -> None:
    owner = torch.tensor([0, 1, 1, 2])
    image, text = embeddings(3, 4)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    leaves = (image.requires_grad_(), text.requires_grad_(), scale)
    assert torch.autograd.gradcheck(lambda i, t, s: multi_positive_info_nce(i, t, owner, s), leaves)


def test_owners_of_another_number_and_bare_images_are_refused() -> None:
    image, text = embeddings(3, 4)
    with pytest.raises(ValueError, match=r"owner has shape \(3,\) for 4 captions"):
        multi_positive_info_nce(image, text, torch.tensor([0, 1, 2]), torch.tensor(1.0))
    with pytest.raises(ValueError, match="image 1 of the batch owns no caption"):
        multi_positive_info_nce(image, text, torch.tensor([0, 0, 2, 2]), torch.tensor(1.0))
