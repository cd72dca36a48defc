"""Which images a sample holds; each follows from seed and number, so samples only grow."""

from dataclasses import dataclass
from random import Random

from sports_clip_sample.scenes import DAILY, SPORTS, Scene, imagine

TRAIN, TEST, FLICKR = "train", "test", "flickr8k"
LABELLED = {
    "football": 4, "basketball": 3, "tennis": 3, "swimming": 2,
    "ice_hockey": 2, "formula1": 2, "boxing": 2, "chess": 2,
}  # fmt: skip
"""Images of each sport in every twenty labelled ones: at least a tenth of any sample."""
CAPTIONED = {
    "football": 6, "basketball": 4, "tennis": 4, "swimming": 3,
    "ice_hockey": 3, "boxing": 2, "formula1": 2, "chess": 1,
}  # fmt: skip
"""How often the captioned images show each sport: some are rare there, as in Flickr8k."""
DAILY_SHARE = 0.5
WRONG_LABEL = 0.012
"""Share of labelled pictures that carry another sport's label, as a web search would give them."""


@dataclass(frozen=True)
class Shot:
    """One file of the sample.

    Attributes:
        split: `train`, `test` or `flickr8k`. `number`: its position there, from 0.
        flaw: None; `exact`, `near` or `relabelled` (duplicates of `twin`, the last with another
            label); `turned` (on its side, with an EXIF mark); `truncated`; or `page` (a web page
            saved under a picture's name).
        twin: (split, number) of the picture that this one repeats.
    """

    split: str
    number: int
    flaw: str | None = None
    twin: tuple[str, int] | None = None


def sizes(size: int) -> dict[str, int]:
    """How many pictures each split holds in a sample of `size` labelled ones.

    >>> sizes(800)
    {'train': 800, 'test': 100, 'flickr8k': 600}
    """
    return {TRAIN: size, TEST: max(8, size // 8), FLICKR: max(30, size * 3 // 4)}


def shot_at(split: str, number: int) -> Shot:
    """The file at this position: most often just a picture of its own."""
    if split == TRAIN:
        for every, at, flaw, twin in (
            (100, 57, "exact", (TRAIN, number - 20)), (100, 83, "near", (TRAIN, number - 40)),
            (200, 141, "near", (TEST, number // 200)), (400, 271, "relabelled", (TRAIN,
            number - 30)), (400, 161, "turned", None), (800, 211, "truncated", None), (800, 611,
            "page", None),
        ):  # fmt: skip
            if number % every == at:
                return Shot(split, number, flaw, twin)
    if split == FLICKR:
        if number % 200 == 33:
            return Shot(split, number, "near", (TRAIN, number))
        if number % 600 == 377:
            return Shot(split, number, "truncated")
    return Shot(split, number)


def source(shot: Shot) -> tuple[str, int]:
    """The position whose scene this shot shows: its own, or its twin's."""
    return shot.twin or (shot.split, shot.number)


def chance(seed: int, split: str, number: int, purpose: str) -> Random:
    """The random numbers of one picture for one purpose."""
    return Random(f"sports-clip-pipeline/{seed}/{split}/{number}/{purpose}")


def kind_of(seed: int, split: str, number: int) -> str:
    """The sport of this picture, or the name of a scene without sport."""
    if split == FLICKR:
        rng = chance(seed, split, number, "kind")
        if rng.random() < DAILY_SHARE:
            return rng.choice(DAILY)
        return rng.choices(list(CAPTIONED), list(CAPTIONED.values()))[0]
    order = [sport for sport, count in LABELLED.items() for _ in range(count)]
    turn, position = divmod(number, len(order))
    chance(seed, split, turn, "order").shuffle(order)
    return order[position]


def scene_of(seed: int, shot: Shot) -> Scene:
    """The facts of the scene that this shot shows."""
    split, number = source(shot)
    facts = chance(seed, split, number, "facts")
    return imagine(kind_of(seed, split, number), facts, amateur=split == FLICKR)


def label_of(seed: int, shot: Shot) -> str:
    """The label that `train_labels.csv` gives: the sport, now and then a wrong one."""
    split, number = source(shot)
    rng = chance(seed, split, number, "label")
    kind = kind_of(seed, split, number)
    if (rng.random() < WRONG_LABEL) != (shot.flaw == "relabelled"):
        return rng.choice([sport for sport in SPORTS if sport != kind])
    return kind


def name_of(seed: int, shot: Shot) -> str:
    """The file's name, in the manner of the published corpora."""
    rng = chance(seed, shot.split, shot.number, "name")
    if shot.split == FLICKR:
        number = 1_000_000_000 + shot.number * 1_931 + rng.randrange(1_931)
        return f"{number}_{rng.getrandbits(40):010x}.jpg"
    return f"{rng.getrandbits(48):012x}.jpg"
