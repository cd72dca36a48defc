"""Which pictures a sample holds: each one follows from the seed and its own number alone.

So a larger sample of the same seed begins with the smaller one, and nothing but the number at
hand is ever in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from sports_clip_pipeline.sample.story import DAILY, SPORTS, Scene, imagine

TRAIN, TEST, FLICKR = "train", "test", "flickr8k"
CYCLE = (
    "football",
    "football",
    "football",
    "football",
    "basketball",
    "basketball",
    "basketball",
    "tennis",
    "tennis",
    "tennis",
    "swimming",
    "swimming",
    "ice_hockey",
    "ice_hockey",
    "formula1",
    "formula1",
    "boxing",
    "boxing",
    "chess",
    "chess",
)
"""The classes of every twenty pictures, so that each has at least a tenth of any sample."""

TALKED = {
    "football": 6,
    "basketball": 4,
    "tennis": 4,
    "swimming": 3,
    "ice_hockey": 3,
    "boxing": 2,
    "formula1": 2,
    "chess": 1,
}
"""How often the captioned pictures show each sport: some are rare there, as in Flickr8k."""
DAILY_SHARE = 0.5
WRONG_LABEL = 0.012
"""Share of labelled pictures that carry another sport's label, as a web search would give them."""


@dataclass(frozen=True)
class Shot:
    """One file of the sample.

    Attributes:
        part: `train`, `test` or `flickr8k`. `number`: its place there, from 0.
        flaw: None; `exact`, `near` or `relabelled` (duplicates of `twin`, the last with another
            label); `turned` (on its side, with an EXIF mark); `truncated`; or `page` (a web page
            saved under a picture's name).
        twin: (part, number) of the picture that this one repeats.
    """

    part: str
    number: int
    flaw: str | None = None
    twin: tuple[str, int] | None = None


def sizes(size: int) -> dict[str, int]:
    """How many pictures each part holds in a sample of `size` labelled ones.

    >>> sizes(800)
    {'train': 800, 'test': 100, 'flickr8k': 600}
    """
    return {TRAIN: size, TEST: max(8, size // 8), FLICKR: max(30, size * 3 // 4)}


def shot(part: str, number: int) -> Shot:
    """What stands at this place: most often just a picture of its own."""
    if part == TRAIN:
        for every, at, flaw, twin in (
            (100, 57, "exact", (TRAIN, number - 20)),
            (100, 83, "near", (TRAIN, number - 40)),
            (200, 141, "near", (TEST, number // 200)),
            (400, 271, "relabelled", (TRAIN, number - 30)),
            (400, 161, "turned", None),
            (800, 211, "truncated", None),
            (800, 611, "page", None),
        ):
            if number % every == at:
                return Shot(part, number, flaw, twin)
    if part == FLICKR:
        if number % 200 == 33:
            return Shot(part, number, "near", (TRAIN, number))
        if number % 600 == 377:
            return Shot(part, number, "truncated")
    return Shot(part, number)


def source(here: Shot) -> tuple[str, int]:
    """The place whose scene this shot shows: its own, or its twin's."""
    return here.twin or (here.part, here.number)


def chance(seed: int, part: str, number: int, purpose: str) -> Random:
    """The random numbers of one picture for one purpose."""
    return Random(f"sports-clip-pipeline/{seed}/{part}/{number}/{purpose}")


def kind_of(seed: int, part: str, number: int) -> str:
    """The sport of this picture, or the name of a scene without sport."""
    if part == FLICKR:
        rng = chance(seed, part, number, "kind")
        if rng.random() < DAILY_SHARE:
            return rng.choice(DAILY)
        return rng.choices(list(TALKED), list(TALKED.values()))[0]
    turn, place = divmod(number, len(CYCLE))
    order = list(CYCLE)
    chance(seed, part, turn, "order").shuffle(order)
    return order[place]


def scene_of(seed: int, here: Shot) -> Scene:
    """The facts of the scene that this shot shows."""
    part, number = source(here)
    facts = chance(seed, part, number, "facts")
    return imagine(kind_of(seed, part, number), facts, amateur=part == FLICKR)


def label_of(seed: int, here: Shot) -> str:
    """The label that `train_labels.csv` gives: the sport, now and then a wrong one."""
    part, number = source(here)
    rng = chance(seed, part, number, "label")
    kind = kind_of(seed, part, number)
    if (rng.random() < WRONG_LABEL) != (here.flaw == "relabelled"):
        return rng.choice([sport for sport in SPORTS if sport != kind])
    return kind


def name_of(seed: int, here: Shot) -> str:
    """The file's name, in the manner of the published corpora."""
    rng = chance(seed, here.part, here.number, "name")
    if here.part == FLICKR:
        number = 1_000_000_000 + here.number * 1_931 + rng.randrange(1_931)
        return f"{number}_{rng.getrandbits(40):010x}.jpg"
    return f"{rng.getrandbits(48):012x}.jpg"
