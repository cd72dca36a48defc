from collections import Counter
from pathlib import Path

import pytest
import yaml

from sports_clip_sample import plan
from sports_clip_sample.plan import FLICKR, TEST, TRAIN, Shot, shot_at, sizes
from sports_clip_sample.scenes import DAILY, SPORTS

CONF = Path(__file__).resolve().parents[2] / "conf" / "base" / "parameters_class_bank.yml"


def test_every_sport_has_a_tenth_of_every_twenty_images() -> None:
    for start in range(0, 200, 20):
        counts = Counter(plan.kind_of(5, TRAIN, i) for i in range(start, start + 20))
        assert set(counts) == set(SPORTS)
        assert min(counts.values()) >= 2


def test_every_class_has_a_label_at_the_smallest_fraction_of_the_default_size() -> None:
    labels = Counter(plan.label_of(0, shot_at(TRAIN, i)) for i in range(800))
    assert min(labels[sport] for sport in SPORTS) * 0.8 * 0.05 > 2
    bank = yaml.safe_load(CONF.read_text())["class_bank"]["classes"]
    assert tuple(entry["label"] for entry in bank) == SPORTS


@pytest.mark.parametrize("size", [40, 60, 141, 142, 342, 800, 5000])
def test_the_original_of_a_duplicate_is_in_the_sample(size: int) -> None:
    counts = sizes(size)
    for split in (TRAIN, TEST, FLICKR):
        for number in range(counts[split]):
            shot = shot_at(split, number)
            if shot.twin is not None:
                twin_split, twin_number = shot.twin
                assert 0 <= twin_number < counts[twin_split]
                assert shot.twin != (split, number)
                assert shot_at(twin_split, twin_number).flaw is None


def test_the_default_size_has_every_flaw_rarely_and_none_in_the_test_split() -> None:
    flaws = Counter(
        shot_at(split, i).flaw for split, count in sizes(800).items() for i in range(count)
    )
    assert {flaw for flaw in flaws if flaw} == {
        "exact", "near", "relabelled", "turned", "truncated", "page",
    }  # fmt: skip
    assert flaws["truncated"] + flaws["page"] == 3
    assert flaws[None] > 0.95 * sum(sizes(800).values())
    assert all(shot_at(TEST, i).flaw is None for i in range(1000))


def test_about_half_of_the_captioned_images_show_no_sport() -> None:
    kinds = [plan.kind_of(0, FLICKR, i) for i in range(2000)]
    daily = sum(kind in DAILY for kind in kinds) / len(kinds)
    assert daily == pytest.approx(plan.DAILY_SHARE, abs=0.04)
    assert set(kinds) == {*SPORTS, *DAILY}


def test_few_labels_are_wrong_and_duplicates_have_the_label_of_their_original() -> None:
    wrong = sum(plan.label_of(0, Shot(TRAIN, i)) != plan.kind_of(0, TRAIN, i) for i in range(4000))
    assert wrong / 4000 == pytest.approx(plan.WRONG_LABEL, abs=0.006)
    for number in range(50):
        label = plan.label_of(0, Shot(TRAIN, number))
        original = (TRAIN, number)
        assert plan.label_of(0, Shot(TRAIN, number + 1, "exact", original)) == label
        assert plan.label_of(0, Shot(TRAIN, number + 1, "relabelled", original)) != label
