"""What is to be recorded, one operation at a time, in a form that is also a line of JSON.

A run makes operations, `writer.Writer` does them, and `outbox.Outbox` keeps those that the store
does not take. Each names its MLflow run by a record: a random name of our own that the run carries
as a tag. So an operation can wait, be done by another process, and be done twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

RECORD_TAG = "record"
"""The tag of every run, parent or child, that says which record it is."""


@dataclass(frozen=True)
class Begin:
    """A child run begins.

    Attributes:
        record: of the child. name: of the run. start_ms: since 1970.
        tags: all of the child's, its parent's id among them.
    """

    record: str
    name: str
    tags: dict[str, str]
    start_ms: int


@dataclass(frozen=True)
class Values:
    """Parameters, metrics and tags of a run.

    Attributes:
        metrics: rows of name, value, time (ms since 1970) and step.
    """

    record: str
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[list[Any]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Text:
    """A text becomes the artifact `place`."""

    record: str
    text: str
    place: str


@dataclass(frozen=True)
class File:
    """A file, or a folder with what is in it, becomes an artifact in `folder`."""

    record: str
    source: str
    folder: str | None


@dataclass(frozen=True)
class Compare:
    """The run is drawn beside the earlier ones of its study, when everything else stands."""

    record: str
    study: str


@dataclass(frozen=True)
class Register:
    """The predictor's folder `source` becomes a version of the registered model `name`.

    Attributes:
        top1: on the evaluation photographs. evaluation: what tells those from others.
        photographs: how many they are.
    """

    record: str
    source: str
    name: str
    top1: float
    evaluation: str
    photographs: int
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class End:
    """The run ends as `FINISHED`, `FAILED` or `KILLED`."""

    record: str
    status: str
    end_ms: int


Operation: TypeAlias = Begin | Values | Text | File | Compare | Register | End
_KINDS: Mapping[str, type[Any]] = {
    kind.__name__.lower(): kind for kind in (Begin, Values, Text, File, Compare, Register, End)
}


def to_json(operation: Operation) -> dict[str, Any]:
    """JSON-like form; `from_json` reads it.

    >>> to_json(End("a1", "FINISHED", 5))
    {'do': 'end', 'record': 'a1', 'status': 'FINISHED', 'end_ms': 5}
    """
    return {"do": type(operation).__name__.lower(), **dataclasses.asdict(operation)}


def from_json(values: Mapping[str, Any]) -> Operation:
    """The inverse of `to_json`.

    Raises: KeyError, TypeError: it is no operation of ours.
    """
    fields = {key: value for key, value in values.items() if key != "do"}
    operation: Operation = _KINDS[values["do"]](**fields)
    return operation


def size_of(operation: Operation) -> int:
    """Characters that an operation holds in memory, about."""
    return len(operation.text) if isinstance(operation, Text) else 200


def in_words(operation: Operation) -> str:
    """What a warning calls it."""
    match operation:
        case Begin(name=name):
            words = f"arm {name}"
        case Text(place=place):
            words = f"file {place}"
        case File(source=source):
            words = f"file {source.rsplit('/', 1)[-1]}"
        case Values(metrics=metrics, params=params):
            words = "metrics" if metrics else "parameters" if params else "tags"
        case Compare():
            words = "the comparison with earlier runs"
        case Register(name=name):
            words = f"the model {name}"
        case End():
            words = "the status"
    return words
