"""Five captions for a scene, as five people would write them."""

from __future__ import annotations

from random import Random

from sports_clip_pipeline.sample import daily_phrases, phrases
from sports_clip_pipeline.sample.story import DAILY, Scene

PER_IMAGE = 5
NAMING = 0.5
"""Share of captions that are drawn from the sentences that name the sport."""
SLOPPY = 0.15
"""Share of captions that see somebody else's colour, or leave the final mark away."""
SHOUTING = 0.02
"""Share of captions about the words on a shirt or a banner."""
VAGUE = 0.12
"""Share of captions that could be of anything."""

_WHO = {
    "man": ("a man", "a man", "a guy", "a person", "a young man"),
    "woman": ("a woman", "a lady", "a person", "a young woman"),
    "boy": ("a boy", "a young boy", "a child", "a kid"),
    "girl": ("a girl", "a young girl", "a child", "a little girl"),
}
_KIT = ("in a {} jersey", "in a {} shirt", "in a {} uniform", "wearing {}", "dressed in {}")


def describe(scene: Scene, rng: Random) -> list[str]:
    """Five different captions, most of them about what the scene's facts say."""
    told: list[str] = []
    while len(told) < PER_IMAGE:
        text = _sentence(scene, rng)
        if text not in told:
            told.append(text)
    return told


def _sentence(scene: Scene, rng: Random) -> str:
    template = rng.choice(phrases.SHOUTS if rng.random() < SHOUTING else _templates(scene, rng))
    colour, rival = scene.colour, scene.rival
    sloppy = rng.random() < SLOPPY
    if sloppy:
        colour, rival = rival, colour
    text = template.format(
        who=rng.choice(_WHO[scene.who]),
        player=rng.choice(phrases.PLAYERS.get(scene.kind, ("someone",))),
        kit=rng.choice(_KIT).format(colour),
        colour=colour,
        rival=rival,
        coat=scene.coat,
        ground=phrases.GROUNDS.get(scene.kind, {}).get(scene.ground, "outside"),
        place=rng.choice(phrases.PLACES[scene.place]),
        sport=rng.choice(phrases.SPOKEN.get(scene.kind, ("sport",))),
        word=rng.choice(phrases.WORDS),
    )
    text = text.replace("A orange", "An orange").replace("a orange", "an orange")
    text = text.removesuffix(" .") if sloppy and rng.random() < 0.5 else text
    return text[0].upper() + text[1:]


def _templates(scene: Scene, rng: Random) -> tuple[str, ...]:
    if rng.random() < VAGUE:
        return phrases.VAGUE
    if scene.kind in DAILY:
        return daily_phrases.DAILY[scene.kind]
    named = rng.random() < NAMING
    if scene.view == "portrait":
        return phrases.PORTRAIT_NAMED if named else phrases.PORTRAIT_UNNAMED
    if scene.view == "crowd":
        return phrases.CROWD_NAMED if named else phrases.CROWD_UNNAMED
    return (phrases.NAMED if named else phrases.UNNAMED)[scene.kind]
