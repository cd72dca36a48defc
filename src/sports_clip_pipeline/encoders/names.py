"""Encoder names in parameters: a packaged encoder, or an architecture with its weights.

`timm/<architecture>` and `hf/<model>` take their weights from the Hugging Face hub;
`…@<file.safetensors>` takes them from a file (for `hf/` the folder is the model), `…@random`
initialises them. `open_clip/<architecture>@<tag, folder, file or random>` names both encoders.
"""

from __future__ import annotations

import re
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
