"""What a picture shows, decided before it is drawn or described, so that both agree."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from random import Random

KITS = ("red", "blue", "green", "yellow", "white", "black", "orange", "purple", "light blue")
WHO = ("man", "man", "woman", "boy", "girl")

_TABLE = tomllib.loads(Path(__file__).with_name("scenes.toml").read_text())
SPORTS, DAILY = tuple(_TABLE["sports"]), tuple(_TABLE["daily"])
COATS = ("black", "brown", "tan", "white")

PROFESSIONAL = ("arena", "stadium")
"""Where professionals play; amateurs' pictures, such as Flickr8k's, seldom show these."""

VIEWS = (("action", 5), ("wide", 3), ("close", 2))
"""How often each kind of picture of a sport is taken."""
AMATEUR_VIEWS = (("action", 7), ("wide", 1), ("close", 2))
UNTYPICAL = (("portrait", 0.06), ("crowd", 0.02))
"""Shares of the pictures that show little of the sport itself."""


@dataclass(frozen=True)
class Scene:
    """One picture's facts.

    Attributes:
        kind: a sport's label, or the name of a scene without sport.
        view: `action`, `wide`, `close`, `portrait`, `crowd`, or `daily` for scenes without sport.
        who: man, woman, boy or girl in front. `colour`: what that person wears; `rival`: the other
            colour in the picture. `ground`, `venue`: the surface and what stands behind it.
        several: more than one person is to be seen.
    """

    kind: str
    view: str
    who: str
    colour: str
    rival: str
    ground: str
    venue: str
    several: bool

    @property
    def young(self) -> bool:
        """Whether the person in front is a child."""
        return self.who in ("boy", "girl")

    @property
    def size(self) -> float:
        """How tall the people are; 1 for adults."""
        return 0.82 if self.young else 1.0

    @property
    def female(self) -> bool:
        """Whether the person in front is a woman or a girl."""
        return self.who in ("woman", "girl")

    @property
    def coat(self) -> str:
        """The colour of the dog, where there is one."""
        return COATS[(len(self.colour) + len(self.rival)) % len(COATS)]


def imagine(kind: str, rng: Random, *, amateur: bool = False) -> Scene:
    """A scene of this kind: a sport's label or one of `DAILY`.

    Pictures by amateurs are taken from close by, in parks and gyms and not in arenas.
    """
    colour, rival = rng.sample(KITS, 2)
    who = rng.choice(WHO)
    several = rng.random() < 0.6
    if kind in DAILY:
        venue = rng.choice(("park", "street", "hills"))
        return Scene(kind, "daily", who, colour, rival, "green", venue, several)
    grounds, venues = _TABLE["sports"][kind].values()
    if amateur and rng.random() < 0.9:
        venues = [venue for venue in venues if venue not in PROFESSIONAL]
    view = _view(AMATEUR_VIEWS if amateur else VIEWS, rng)
    ground, venue = rng.choice(grounds), rng.choice(venues)
    return Scene(kind, view, who, colour, rival, ground, venue, several or view == "wide")


def _view(views: tuple[tuple[str, int], ...], rng: Random) -> str:
    dice = rng.random()
    for view, share in UNTYPICAL:
        if dice < share:
            return view
        dice -= share
    names, weights = zip(*views, strict=True)
    return str(rng.choices(names, weights)[0])
