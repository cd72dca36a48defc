"""How a result was made: commit, versions, machine."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from sports_clip_pipeline.machine import cores


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Version of each installed distribution, and of Python; what is absent is left out."""
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def machine() -> str:
    """The processor's family and how many cores may be used, in words."""
    return f"{platform.system()} {platform.machine()}, {cores()} cores"


def describe_towers(embed_audit: Mapping[str, Any]) -> dict[str, str]:
    """Each tower with its weights and, where anything was computed, the backend, in words.

    Args:
        embed_audit: `image_encoder`, `text_encoder`, `weights_sha256` and `backends`, the last two by
            `image` and `text`; no backend where all features were there already.
    """
    towers = {}
    for kind in ("image", "text"):
        weights = embed_audit["weights_sha256"][kind][:12]
        words = f"{embed_audit[f'{kind}_tower']}, weights {weights}…"
        backend = embed_audit["backends"].get(kind)
        towers[kind] = f"{words}, by {backend['chosen']}" if backend else words
    return towers
