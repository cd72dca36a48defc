from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.io.fingerprint import file_sha256, fingerprint


@dataclass(frozen=True)
class Block:
    rate: float = 0.1


@dataclass(frozen=True)
class Other:
    rate: float = 0.1


def test_equal_parts_give_equal_fingerprints() -> None:
    assert fingerprint(Block(), {"a": 1, "b": 2}) == fingerprint(Block(0.1), {"b": 2, "a": 1})
    assert len(fingerprint()) == 32


def test_any_change_gives_another() -> None:
    zeros = np.zeros(4, np.float32)
    parts = [
        (Block(),),
        (Block(0.2),),
        (Other(),),
        (zeros,),
        (zeros.astype(np.float64),),
        (zeros.reshape(2, 2),),
        (b"ab",),
        (b"a", b"b"),
        ("ab",),
        (json,),
        (fingerprint,),
        (Block,),
    ]
    assert len({fingerprint(*part) for part in parts}) == len(parts)


def test_parts_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="cannot fingerprint a object"):
        fingerprint(object())


def test_a_file_is_known_by_the_sha256_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert file_sha256(path) == hashlib.sha256(b"abc").hexdigest()
    assert file_sha256(path).startswith("ba7816bf8f01cfea")  # FIPS 180-2, appendix B.1
