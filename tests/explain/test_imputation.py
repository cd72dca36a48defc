from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer

from sports_clip_pipeline.explain.faithfulness import impute


def picture(height: int, width: int) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    smooth = torch.stack([rows / height, columns / width, torch.sin(rows / 5) * 0.5])
    return (smooth + 0.1 * torch.rand(3, height, width)).float()


def test_one_lonely_pixel_becomes_the_weighted_mean_of_its_eight_neighbours():
    pixels = torch.arange(9.0).reshape(1, 3, 3).expand(3, 3, 3)
    removed = torch.zeros(1, 3, 3, dtype=torch.bool)
    removed[0, 1, 1] = True
    filled = impute(pixels, removed)
    # Sides 1, 3, 5, 7 weigh 1/6 and corners 0, 2, 6, 8 weigh 1/12: 16/6 + 16/12 = 4.
    assert filled[0, :, 1, 1].tolist() == pytest.approx([4.0] * 3, abs=1e-4)


def test_in_a_corner_only_the_neighbours_that_there_are_count():
    pixels = torch.tensor([[[0.0, 6.0], [9.0, 12.0]]]).expand(3, 2, 2)
    removed = torch.tensor([[[True, False], [False, False]]])
    # (6/6 + 9/6 + 12/12) / (1/6 + 1/6 + 1/12) = 3.5 / (5/12) = 8.4
    assert impute(pixels, removed)[0, 0, 0, 0].item() == pytest.approx(8.4, abs=1e-3)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # the library's own
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_it_is_what_the_librarys_direct_solver_gives(share):
    torch.manual_seed(0)
    pixels = picture(40, 34)
    scattered = torch.rand(40, 34) < share
    block = torch.zeros(40, 34, dtype=torch.bool)
    block[4 : 4 + int(34 * share), 2:32] = True
    removed = torch.stack([scattered, block])
    ours = impute(pixels, removed, tolerance=1e-5)
    for mask, filled in zip(removed, ours, strict=True):
        theirs = NoisyLinearImputer(noise=0.0)(pixels, (~mask).float())
        np.testing.assert_allclose(filled, theirs, atol=2e-3)


def test_the_usual_tolerance_is_close_at_the_size_of_a_tower():
    torch.manual_seed(0)
    pixels = picture(96, 96)
    removed = torch.ones(1, 96, 96, dtype=torch.bool)
    removed[0, :30, :40] = False  # most of the picture is gone
    rough, exact = impute(pixels, removed), impute(pixels, removed, tolerance=1e-6)
    assert (rough - exact).abs().max() < 0.1
    assert (rough - exact).abs().mean() < 0.015


def test_known_pixels_stay_and_noise_falls_on_the_others_alone():
    pixels = picture(16, 16)
    removed = torch.rand(2, 16, 16) < 0.5
    noise = torch.full((3, 16, 16), 0.25)
    plain, noisy = impute(pixels, removed), impute(pixels, removed, noise)
    hidden = removed[:, None].expand_as(plain)
    assert torch.equal(noisy[~hidden], pixels.expand_as(plain)[~hidden])
    assert torch.allclose(noisy[hidden], plain[hidden] + 0.25)


def test_nothing_removed_changes_nothing_and_everything_removed_is_refused():
    pixels = picture(20, 20)
    none, all_ = (torch.full((1, 20, 20), value) for value in (False, True))
    assert torch.equal(impute(pixels, none)[0], pixels)
    with pytest.raises(ValueError, match="every pixel"):
        impute(pixels, all_)
