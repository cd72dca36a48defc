"""Configuration as MLflow's flat parameters: one a field, named alike in every run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

VALUE_LIMIT = 6000
"""MLflow refuses longer values."""
NAME_LIMIT = 250
"""MLflow refuses longer names."""
_FORBIDDEN = re.compile(r"[^\w\-. :/]", re.ASCII)


def flatten(name: str, value: Any) -> dict[str, str]:
    """Parameters of one block: `block.field` -> text.

    Dataclasses are opened at every depth and raw mappings at the top. A mapping in a field is
    data, not fields (the classes of a study, say): it stays one parameter, so that runs of
    different studies have the same parameters.

    >>> flatten("finetune", {"seeds": [0, 1], "method": "logreg"})
    {'finetune.seeds': '[0, 1]', 'finetune.method': 'logreg'}
    """
    if isinstance(value, Mapping) and value:
        fields = {f"{name}.{key}": field for key, field in value.items()}
        return {
            key: text
            for full, field in fields.items()
            for key, text in (
                flatten(full, field)
                if isinstance(field, BaseModel) or dataclasses.is_dataclass(field)
                else {safe_name(full): as_text(field)}
            ).items()
        }
    if isinstance(value, BaseModel):
        return flatten(name, dict(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return flatten(name, fields)
    return {safe_name(name): as_text(value)}


def as_text(value: Any) -> str:
    """Texts as they are, all else as JSON; what is too long is cut and carries its digest.

    >>> as_text((0.01, None))
    '[0.01, null]'
    """
    text = value if isinstance(value, str) else json.dumps(value, default=_plain, sort_keys=True)
    if len(text) <= VALUE_LIMIT:
        return text
    tail = f"… sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    return text[: VALUE_LIMIT - len(tail)] + tail


def safe_name(name: str) -> str:
    """`name` in the letters that MLflow takes; a name that had to change carries its digest."""
    safe = _FORBIDDEN.sub("_", name)
    if safe == name and len(name) <= NAME_LIMIT:
        return name
    return f"{safe[: NAME_LIMIT - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return value.tolist() if hasattr(value, "tolist") else str(value)
