import math

import pytest
import torch
from open_clip.loss import ClipLoss, SigLipLoss
from torch.nn.functional import normalize

from sports_clip_pipeline.clip.losses import (
    OBJECTIVES,
    multi_positive_info_nce,
    multi_positive_siglip,
    soft_target_loss,
)
from sports_clip_pipeline.pipelines.pretrain.config import LOSSES

LOSS_FUNCTIONS = (multi_positive_info_nce, multi_positive_siglip, soft_target_loss)


def embeddings(images: int, captions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random unit-norm (images, 8) and (captions, 8) float64."""
    generator = torch.Generator().manual_seed(0)
    image, text = (
        normalize(torch.randn(n, 8, generator=generator, dtype=torch.float64), dim=1)
        for n in (images, captions)
    )
    return image, text


def arguments(loss: object, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The scale and the bias, without the bias for losses that have none."""
    return values if loss is multi_positive_siglip else values[:1]


@pytest.mark.parametrize("loss", LOSS_FUNCTIONS)
def test_gradients_agree_with_finite_differences(loss) -> None:
    image_index = torch.tensor([0, 1, 1, 2])
    leaves = [*embeddings(3, 4), *arguments(loss, torch.tensor(3.0), torch.tensor(-1.0))]
    leaves = [leaf.double().requires_grad_() for leaf in leaves]
    assert torch.autograd.gradcheck(lambda i, t, *rest: loss(i, t, image_index, *rest), leaves)


@pytest.mark.parametrize("loss", LOSS_FUNCTIONS)
def test_an_image_index_of_another_length_is_refused(loss) -> None:
    rest = arguments(loss, torch.tensor(1.0), torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"image_index has shape \(3,\) for 4 captions"):
        loss(*embeddings(3, 4), torch.tensor([0, 1, 2]), *rest)


def naive(image: torch.Tensor, text: torch.Tensor, image_index: list[int], scale: float) -> float:
    """Both directions, one logarithm at a time."""
    cosine = (scale * text @ image.T).tolist()
    captions, images = len(text), len(image)
    t2i = 0.0
    for m in range(captions):
        total = sum(math.exp(cosine[m][n]) for n in range(images))
        t2i -= math.log(math.exp(cosine[m][image_index[m]]) / total) / captions
    i2t = 0.0
    for n in range(images):
        total = sum(math.exp(cosine[m][n]) for m in range(captions))
        own = [m for m in range(captions) if image_index[m] == n]
        i2t -= sum(math.log(math.exp(cosine[m][n]) / total) for m in own) / len(own) / images
    return (t2i + i2t) / 2


def test_info_nce_has_the_hand_worked_value_of_orthogonal_images() -> None:
    """Image 0 has two captions equal to it, image 1 has one; the scale is 1."""
    eye = torch.eye(2, dtype=torch.float64)
    text = eye[[0, 0, 1]]
    loss = multi_positive_info_nce(eye, text, torch.tensor([0, 0, 1]), torch.tensor(1.0))
    e = math.e
    t2i = math.log((e + 1) / e)
    i2t = (math.log((2 * e + 1) / e) + math.log((e + 2) / e)) / 2
    assert float(loss) == pytest.approx((t2i + i2t) / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(multi_positive_info_nce, ClipLoss()), (multi_positive_siglip, SigLipLoss())],
)
def test_with_one_caption_an_image_the_loss_is_open_clips(ours, theirs) -> None:
    image, text = embeddings(7, 7)
    rest = arguments(ours, torch.tensor(14.3).double(), torch.tensor(-3.0).double())
    found = ours(image, text, torch.arange(7), *rest)
    assert float(found) == pytest.approx(float(theirs(image, text, *rest)), rel=1e-12)


def test_info_nce_uneven_captions_agree_with_the_naive_twin() -> None:
    image_index = [2, 0, 1, 1, 3, 1, 0, 3, 3]
    image, text = embeddings(4, len(image_index))
    ours = multi_positive_info_nce(
        image, text, torch.tensor(image_index), torch.tensor(5.0).double()
    )
    assert float(ours) == pytest.approx(naive(image, text, image_index, 5.0), rel=1e-12)


def test_the_order_of_captions_does_not_matter() -> None:
    image_index = torch.tensor([0, 0, 1, 1, 2])
    image, text = embeddings(3, 5)
    order = torch.tensor([4, 2, 0, 3, 1])
    scale = torch.tensor(10.0)
    before = multi_positive_info_nce(image, text, image_index, scale)
    after = multi_positive_info_nce(image, text[order], image_index[order], scale)
    assert float(before) == pytest.approx(float(after), rel=1e-12)


def test_siglip_has_the_hand_worked_value_of_orthogonal_images() -> None:
    """Image 0 has two captions equal to it, image 1 has one; scale 2, bias -1."""
    eye = torch.eye(2, dtype=torch.float64)
    image_index = torch.tensor([0, 0, 1])
    loss = multi_positive_siglip(
        eye, eye[image_index], image_index, torch.tensor(2.0), torch.tensor(-1.0)
    )
    own = math.log(1 + math.exp(-(2 - 1)))  # a caption and its image: cosine 1
    other = math.log(1 + math.exp(0 - 1))  # cosine 0, a negative
    assert float(loss) == pytest.approx((3 * own + 3 * other) / 3, rel=1e-12)


def test_siglip_uneven_captions_agree_with_the_naive_twin() -> None:
    image_index = [2, 0, 1, 1, 3, 1, 0, 3, 3]
    image, text = embeddings(4, len(image_index))
    total = 0.0
    for m, caption in enumerate(text):
        for n, row in enumerate(image):
            logit = 5.0 * float(caption @ row) - 2.0
            total += math.log(1 + math.exp(-logit if image_index[m] == n else logit))
    scale, bias = torch.tensor(5.0).double(), torch.tensor(-2.0).double()
    ours = multi_positive_siglip(image, text, torch.tensor(image_index), scale, bias)
    assert float(ours) == pytest.approx(total / len(image_index), rel=1e-12)


@pytest.mark.parametrize("images", [2, 128])
def test_at_the_starting_bias_gradients_of_positives_and_negatives_cancel(images: int) -> None:
    """With all cosines 0, the gradients of the own and of all other images cancel."""
    start = OBJECTIVES["siglip"].starting_bias(images)
    bias = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    image, text = torch.zeros(2, images, 4, dtype=torch.float64)
    loss = multi_positive_siglip(image, text, torch.arange(images), torch.tensor(10.0), bias)
    loss.backward()
    assert float(bias.grad) == pytest.approx(0.0, abs=1e-12)


def notebook(image: torch.Tensor, text: torch.Tensor) -> float:
    """The notebook's loss of pairs, temperature 1, one number at a time."""
    pairs = range(len(image))
    logit = [[float(text[a] @ image[b]) for b in pairs] for a in pairs]
    similarity = [
        [float(image[a] @ image[b] + text[a] @ text[b]) / 2 for b in pairs] for a in pairs
    ]
    target = []
    for row in similarity:
        total = sum(map(math.exp, row))
        target.append([math.exp(value) / total for value in row])
    loss = 0.0
    for a in pairs:
        text_norm = math.log(sum(math.exp(logit[a][b]) for b in pairs))
        image_norm = math.log(sum(math.exp(logit[b][a]) for b in pairs))
        loss -= sum(target[a][b] * (logit[a][b] - text_norm) for b in pairs)
        loss -= sum(target[b][a] * (logit[b][a] - image_norm) for b in pairs)
    return loss / len(image) / 2


@pytest.mark.parametrize("image_index", [[0, 1, 2, 3], [2, 0, 1, 1, 3, 1, 0, 3]])
def test_soft_targets_agree_with_the_notebook(image_index: list[int]) -> None:
    image, text = embeddings(4, len(image_index))
    ours = soft_target_loss(image, text, torch.tensor(image_index), torch.tensor(6.0).double())
    root = math.sqrt(6.0)
    expected = notebook(root * image[torch.tensor(image_index)], root * text)
    assert float(ours) == pytest.approx(expected, rel=1e-12)


def test_soft_targets_have_the_hand_worked_value_of_orthogonal_pairs() -> None:
    """Logits and similarities are the identity matrix, so the loss is the entropy."""
    eye = torch.eye(2, dtype=torch.float64)
    loss = soft_target_loss(eye, eye, torch.arange(2), torch.tensor(1.0).double())
    share = math.e / (math.e + 1)
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert float(loss) == pytest.approx(entropy, rel=1e-12)


def test_every_loss_of_the_configuration_is_found_and_runs() -> None:
    image, text = embeddings(3, 4)
    image_index = torch.tensor([0, 1, 1, 2])
    values = set()
    for name in LOSSES:
        objective = OBJECTIVES[name]
        start = objective.starting_bias(3)
        assert (start is not None) == objective.biased == (name == "siglip")
        bias = None if start is None else torch.tensor(start)
        loss = objective.loss(image, text, image_index, torch.tensor(5.0), bias)
        values.add(round(float(loss), 9))
    assert len(values) == len(LOSSES)


def test_images_without_captions_and_single_images_are_refused() -> None:
    with pytest.raises(ValueError, match="image 1 of the batch has no caption"):
        image_index = torch.tensor([0, 0, 2, 2])
        multi_positive_info_nce(*embeddings(3, 4), image_index, torch.tensor(1.0))
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        OBJECTIVES["siglip"].starting_bias(1)
