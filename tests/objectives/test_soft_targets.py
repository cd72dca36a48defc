from __future__ import annotations

import math

import pytest
import torch

from sports_clip_pipeline.clip.losses import soft_target_loss
from tests.objectives.making import embeddings


def notebook(image: torch.Tensor, text: torch.Tensor) -> float:
    """The notebook's loss of pairs, temperature 1, one number at a time."""
    pairs = range(len(image))
    logit = [[float(text[a] @ image[b]) for b in pairs] for a in pairs]
    alike = [[float(image[a] @ image[b] + text[a] @ text[b]) / 2 for b in pairs] for a in pairs]
    target = []
    for row in alike:
        total = sum(map(math.exp, row))
        target.append([math.exp(value) / total for value in row])
    loss = 0.0
    for a in pairs:
        of_text = math.log(sum(math.exp(logit[a][b]) for b in pairs))
        of_image = math.log(sum(math.exp(logit[b][a]) for b in pairs))
        loss -= sum(target[a][b] * (logit[a][b] - of_text) for b in pairs)
        loss -= sum(target[b][a] * (logit[b][a] - of_image) for b in pairs)
    return loss / len(image) / 2


@pytest.mark.parametrize("owner", [[0, 1, 2, 3], [2, 0, 1, 1, 3, 1, 0, 3]])
def test_it_is_the_notebooks_with_the_scale_as_squared_length(owner: list[int]) -> None:
    image, text = embeddings(4, len(owner))
    ours = soft_target_loss(image, text, torch.tensor(owner), torch.tensor(6.0).double())
    root = math.sqrt(6.0)
    wanted = notebook(root * image[torch.tensor(owner)], root * text)
    assert float(ours) == pytest.approx(wanted, rel=1e-12)


def test_the_hand_worked_value_of_two_orthogonal_pairs() -> None:
    """Cosines and likenesses are both the unit matrix, so targets are the answers themselves."""
    eye = torch.eye(2, dtype=torch.float64)
    loss = soft_target_loss(eye, eye, torch.arange(2), torch.tensor(1.0).double())
    share = math.e / (math.e + 1)
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert float(loss) == pytest.approx(entropy, rel=1e-12)


def test_gradients_agree_with_finite_differences() -> None:
    owner = torch.tensor([0, 1, 1, 2])
    image, text = embeddings(3, 4)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    leaves = (image.requires_grad_(), text.requires_grad_(), scale)
    assert torch.autograd.gradcheck(lambda i, t, s: soft_target_loss(i, t, owner, s), leaves)


def test_owners_of_another_number_are_refused() -> None:
    image, text = embeddings(3, 4)
    with pytest.raises(ValueError, match=r"owner has shape \(3,\) for 4 captions"):
        soft_target_loss(image, text, torch.tensor([0, 1, 2]), torch.tensor(1.0))
