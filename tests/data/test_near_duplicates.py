"""Transformed copies are found; other images of the same class, and of the same parts, are not."""

import csv
import io
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from benchmarks.near_duplicates import LIMITS, WANTED, found_pairs, transformed
from sports_clip_pipeline.data.near_duplicates import (
    APPEARANCE,
    _shared_words,
    appearance_of,
    near_duplicate_pairs,
)
from sports_clip_pipeline.data.transforms import open_upright
from sports_clip_pipeline.pipelines.ingest.config import ImageRules
from sports_clip_sample import rendering
from sports_clip_sample.scenes import imagine
from tests.data.test_ingest_real import real_archive


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    """20 different drawn scenes of two sports."""
    rngs = [Random(number) for number in range(20)]
    kinds = ("tennis", "chess")
    return [rendering.render(imagine(kinds[k % 2], rng), rng) for k, rng in enumerate(rngs)]


@pytest.fixture(scope="module")
def originals(scenes: list[Image.Image]) -> list[np.ndarray]:
    return [appearance_of(scene) for scene in scenes]


@pytest.mark.parametrize("transformation", WANTED)
def test_copies_of_drawn_scenes_are_found_and_other_scenes_are_not(
    scenes, originals, transformation
) -> None:
    copies = [transformed(transformation, scene, seed) for seed, scene in enumerate(scenes)]
    recall, _, false = found_pairs(originals, copies)
    assert recall >= 0.8
    assert false == 0


def test_pairs_do_not_depend_on_threads(scenes, originals) -> None:
    images = np.array([*originals, *(transformed(WANTED[0], scene, 1) for scene in scenes)])
    alone, both = (near_duplicate_pairs(images, *LIMITS, threads) for threads in (1, 3))
    assert len(alone) >= 16
    assert alone.tolist() == both.tolist()


def test_images_without_content_are_near_duplicates_if_equally_grey() -> None:
    colours = ("white", "black", (7, 7, 7), (250, 250, 250))
    plain = np.array([appearance_of(Image.new("RGB", (90, 40), colour)) for colour in colours])
    assert (plain[0]["count"], *plain[0]["size"]) == (0, 224, 100)
    assert near_duplicate_pairs(plain, *LIMITS).tolist() == [[0, 3], [1, 2]]
    assert near_duplicate_pairs(np.empty(0, APPEARANCE), *LIMITS).tolist() == []


def test_shared_words_are_those_of_a_naive_count() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, (40, 30, 32), dtype=np.uint8)
    rows[:, :, ::2] = rng.integers(0, 30, (40, 30, 16))
    images = np.zeros(40, APPEARANCE)
    images["descriptors"][:, :30], images["count"] = rows, 30
    having: dict[tuple[int, bytes], set[int]] = {}
    for number, one in enumerate(rows):
        for row in one:
            for place in range(8):
                word = place, row[4 * place : 4 * place + 4].tobytes()
                having.setdefault(word, set()).add(number)
    score = np.zeros((40, 40))
    for owners in having.values():
        if 2 <= len(owners) <= 32:
            score[np.ix_(list(owners), list(owners))] += 1 / (len(owners) - 1)
    wanted = {(i, j) for i in range(40) for j in range(i + 1, 40) if score[i, j] >= 2.02}
    assert 0 < len(wanted) < 780
    assert set(_shared_words(images)) == wanted


def real_images(names: list[str]) -> list[Image.Image]:
    archive = real_archive("sports")
    paths = {Path(name).name: name for name in archive.names()}
    return [open_upright(archive.read(paths[name]), ImageRules()) for name in names]


@pytest.mark.real
def test_known_copies_across_the_real_splits_are_found() -> None:
    images = real_images([name for pair in csv.reader(io.StringIO(KNOWN)) for name in pair])
    pairs = near_duplicate_pairs(np.array([appearance_of(image) for image in images]), *LIMITS)
    assert pairs.tolist() == [[k, k + 1] for k in range(0, len(images), 2)]


@pytest.mark.real
@pytest.mark.parametrize("transformation", WANTED)
def test_copies_of_real_images_are_found_and_others_are_not(transformation) -> None:
    rows = list(csv.reader(io.StringIO(real_archive("sports").read("train_labels.csv").decode())))
    names = [name for name, label in rows if label == "swimming"]
    images = real_images(Random(0).sample(names, 60))
    copies = [transformed(transformation, image, seed) for seed, image in enumerate(images)]
    recall, found, false = found_pairs([appearance_of(image) for image in images], copies)
    assert recall >= 0.9
    assert false <= 0.05 * found


KNOWN = """\
f707b1d800f7.jpg,b0da4a57e064.jpg
ab1592448d48.jpg,b9b9c5917db3.jpg
c1758a77b42f.jpg,9033460e36a6.jpg
0b466ec7b747.jpg,deb41c25d44b.jpg
71739bee417b.jpg,d6cef19db6e2.jpg
65ceae69d403.jpg,989d2352ed69.jpg
edbdd1e1133b.jpg,093c23cc6444.jpg
d74a95b919b8.jpg,0423fbf7ba36.jpg
c88ba102a8ee.jpg,49761f7cc60b.jpg
c0d25504e1b2.jpg,6f33aa676fb9.jpg
f779fd936a9a.jpg,54f12fd044cf.jpg
e67234825868.jpg,bdc18196543f.jpg
"""
