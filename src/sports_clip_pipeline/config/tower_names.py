"""How towers are named in parameters: a packaged one, or an architecture with its weights.

`timm/<architecture>` and `hf/<model>` take their weights from the Hugging Face hub;
`…@<file.safetensors>` takes them from a file (for `hf/` the folder is the model), `…@random` draws
them anew. `open_clip/<architecture>@<tag, folder, file or random>` names both towers at once.
"""

from __future__ import annotations

import re
from typing import Any

from sports_clip_pipeline.config.checks import require

IMAGE_TOWERS = ("lite0", "lite1", "lite2")
TEXT_TOWERS = ("minilm",)
_IMAGE_FORM = re.compile(r"timm/[\w.-]+(@.+)?")
_TEXT_FORM = re.compile(r"hf/[^@]+(@random)?")
_PAIR = "open_clip/"
_PAIR_FORM = re.compile(rf"{_PAIR}[\w.-]+@.+")


def require_image_tower(value: Any, name: str) -> None:
    """Refuse what names no image tower. Raises: ValueError: says what was wanted and what came."""
    wanted = f"one of {', '.join(IMAGE_TOWERS)}, timm/<architecture>[@<file>|@random], "
    wanted += "or open_clip/<architecture>@<tag>"
    require(_names(value, IMAGE_TOWERS, _IMAGE_FORM), name, wanted, value)


def is_pair(tower: str) -> bool:
    """Whether a tower's name is that of a pair: both towers, and the space they share."""
    return tower.startswith(_PAIR)


def require_text_tower(value: Any, name: str) -> None:
    """Refuse what names no text tower. Raises: ValueError: says what was wanted and what came."""
    wanted = f"one of {', '.join(TEXT_TOWERS)}, hf/<folder or name on the hub>[@random], "
    wanted += "or open_clip/<architecture>@<tag>"
    require(_names(value, TEXT_TOWERS, _TEXT_FORM), name, wanted, value)


def _names(value: Any, packaged: tuple[str, ...], form: re.Pattern[str]) -> bool:
    if not isinstance(value, str):
        return False
    return value in packaged or any(known.fullmatch(value) for known in (form, _PAIR_FORM))
