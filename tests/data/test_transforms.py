from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from sports_clip_pipeline.data.transforms import ImagePreprocessing, Look

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8))


@pytest.mark.parametrize("view", ["full", "centre", "full_flip", "centre_flip"])
def test_a_square_is_what_the_preprocessing_normalises(view: str) -> None:
    seen = ImagePreprocessing(64, (0.5, 0.4, 0.3), (0.5, 0.2, 0.1), "bilinear", view)
    square = Look.of(seen).square(PICTURE)
    assert (square.shape, square.dtype) == ((64, 64, 3), np.uint8)
    wanted = (square.transpose(2, 0, 1) / 255 - np.reshape(seen.mean, (3, 1, 1))) / np.reshape(
        seen.std, (3, 1, 1)
    )
    np.testing.assert_allclose(seen.to_array(PICTURE), wanted, atol=1e-5)


def test_a_look_survives_json_and_names_itself() -> None:
    look = Look(64, "bicubic", "full")
    assert Look.from_dict(json.loads(json.dumps(look.to_dict()))) == look
    assert look.name == "full_64_bicubic"
    with pytest.raises(ValueError, match="view is one of"):
        Look.from_dict({**look.to_dict(), "view": "sideways"})
