from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from sports_clip_pipeline.models import image_towers
from sports_clip_pipeline.models.imagenet import (
    CLASSES,
    imagenet_classifier,
    imagenet_definitions,
    imagenet_names,
)


@pytest.mark.parametrize("name", sorted(image_towers.IMAGE_ENCODERS))
def test_features_through_the_classifier_are_the_towers_own_logits(
    name: str, pictures: list[Image.Image]
) -> None:
    tower = image_towers.load_image_tower(name)
    seen = image_towers.image_preprocessing(name, 64, "full")
    pixels = np.stack([seen.to_array(picture) for picture in pictures[:2]])
    weight, bias = imagenet_classifier(name)
    with torch.inference_mode():
        wanted = tower(torch.from_numpy(pixels)).numpy()
    logits = image_towers.pooled_features(tower, pixels) @ weight.T + bias
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    assert (weight.shape, bias.shape) == ((CLASSES, 1280), (CLASSES,))
    assert (weight.dtype, bias.dtype) == (np.float32, np.float32)


def test_the_classes_stand_in_the_order_of_the_challenge_of_2012() -> None:
    names, definitions = imagenet_names(), imagenet_definitions()
    assert len(names) == len(definitions) == CLASSES
    assert names[0] == "tench, Tinca tinca"
    assert names[981] == "ballplayer, baseball player"
    assert names[999] == "toilet tissue, toilet paper, bathroom tissue"
    assert definitions[981] == "an athlete who plays baseball"
    assert all(definitions)


def test_names_that_are_changed_by_a_caller_do_not_change_for_others() -> None:
    imagenet_names().clear()
    assert len(imagenet_names()) == CLASSES
