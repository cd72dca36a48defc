from random import Random

import pytest

from sports_clip_sample import captions
from sports_clip_sample.captions import PHRASES
from sports_clip_sample.scenes import DAILY, SPORTS, imagine


@pytest.mark.parametrize("kind", [*SPORTS, *DAILY])
def test_every_kind_of_scene_has_five_different_captions(kind: str) -> None:
    for repeat in range(30):
        rng = Random(f"{kind}{repeat}")
        texts = captions.describe(imagine(kind, rng), rng)
        assert len(set(texts)) == 5
        assert not any("{" in text or "a orange" in text.lower() for text in texts)
        assert all(text[0].isupper() or text[0] == '"' for text in texts)


@pytest.mark.parametrize("kind", SPORTS)
def test_captions_name_the_sport_often_but_not_always(kind: str) -> None:
    rng = Random(kind)
    words = set(PHRASES["spoken"][kind])
    extra = {
        "boxing": {"boxer"}, "formula1": {"race car", "racing car"}, "ice_hockey": {"puck"},
        "swimming": {"swim"},
    }.get(kind, set())  # fmt: skip
    texts = [text.lower() for _ in range(80) for text in captions.describe(imagine(kind, rng), rng)]
    naming = sum(any(word in text for word in words | extra) for text in texts) / len(texts)
    assert 0.25 < naming < 0.75


def test_captions_usually_name_the_colour_of_the_scene() -> None:
    rng = Random(4)
    scenes = [imagine("football", rng) for _ in range(100)]
    named = sum(scene.colour in " ".join(captions.describe(scene, rng)) for scene in scenes)
    assert named > 80
