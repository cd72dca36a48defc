"""Five captions for a scene, as five people would write them; the phrases stand in phrases.toml."""

import tomllib
from pathlib import Path
from random import Random
from typing import Any

from sports_clip_sample.scenes import DAILY, Scene

PHRASES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("phrases.toml").read_text("utf-8"))
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
    captions: list[str] = []
    while len(captions) < PER_IMAGE:
        text = _sentence(scene, rng)
        if text not in captions:
            captions.append(text)
    return captions


def _sentence(scene: Scene, rng: Random) -> str:
    template = rng.choice(PHRASES["shouts"] if rng.random() < SHOUTING else _templates(scene, rng))
    colour, rival = scene.colour, scene.rival
    sloppy = rng.random() < SLOPPY
    if sloppy:
        colour, rival = rival, colour
    text = template.format(
        who=rng.choice(_WHO[scene.who]), player=rng.choice(PHRASES["players"].get(scene.kind,
        ("someone", ))), kit=rng.choice(_KIT).format(colour), colour=colour, rival=rival,
        coat=scene.coat, ground=PHRASES["grounds"].get(scene.kind, {}).get(scene.ground,
        "outside"), place=rng.choice(PHRASES["venues"][scene.venue]),
        sport=rng.choice(PHRASES["spoken"].get(scene.kind, ("sport", ))),
        word=rng.choice(PHRASES["words"]),
    )  # fmt: skip
    text = text.replace("A orange", "An orange").replace("a orange", "an orange")
    text = text.removesuffix(" .") if sloppy and rng.random() < 0.5 else text
    return text[0].upper() + text[1:]


def _templates(scene: Scene, rng: Random) -> list[str]:
    if rng.random() < VAGUE:
        return PHRASES["vague"]
    if scene.kind in DAILY:
        return PHRASES["daily"][scene.kind]
    form = "named" if rng.random() < NAMING else "unnamed"
    if scene.view in ("portrait", "crowd"):
        return PHRASES[f"{scene.view}_{form}"]
    return PHRASES[form][scene.kind]
