"""Parameters of the model card: what the numbers of a run cannot say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sports_clip_pipeline.config.checks import require

CORPORA = ("flickr8k", "sports")
_KEYS = ("name", "licence")


@dataclass(frozen=True)
class CorpusFacts:
    """What a corpus is called, and who may use it."""

    name: str
    licence: str


@dataclass(frozen=True)
class ModelCardConfig:
    """Parameter block `model_card`.

    Attributes:
        intended_use: what the classifier is for, a sentence each.
        not_for: what it is not for.
        limits: what was not measured.
        corpora: study -> corpus (`flickr8k`, `sports`) -> its name and licence. Of a study that is
            not named here the card says that nothing is recorded.
    """

    intended_use: tuple[str, ...]
    not_for: tuple[str, ...]
    limits: tuple[str, ...]
    corpora: dict[str, dict[str, CorpusFacts]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("intended_use", "not_for", "limits"):
            object.__setattr__(self, name, _sentences(getattr(self, name), f"model_card.{name}"))
        wanted = "a mapping from study to corpora"
        require(isinstance(self.corpora, dict), "model_card.corpora", wanted, self.corpora)
        known = {
            study: _of_study(corpora, f"model_card.corpora.{study}")
            for study, corpora in self.corpora.items()
        }
        object.__setattr__(self, "corpora", known)


def _sentences(value: Any, parameter: str) -> tuple[str, ...]:
    is_list = isinstance(value, (list, tuple)) and all(
        isinstance(one, str) and one.strip() for one in value
    )
    require(is_list, parameter, "a list of sentences", value)
    return tuple(" ".join(one.split()) for one in value)


def _of_study(value: Any, parameter: str) -> dict[str, CorpusFacts]:
    wanted = f"a mapping from {' and '.join(CORPORA)} to name and licence"
    require(isinstance(value, dict) and set(value) == set(CORPORA), parameter, wanted, value)
    return {name: _corpus(value[name], f"{parameter}.{name}") for name in CORPORA}


def _corpus(value: Any, parameter: str) -> CorpusFacts:
    if isinstance(value, CorpusFacts):
        return value
    is_complete = (
        isinstance(value, dict)
        and set(value) == set(_KEYS)
        and all(isinstance(text, str) and text.strip() for text in value.values())
    )
    require(is_complete, parameter, f"texts for {' and '.join(_KEYS)}", value)
    return CorpusFacts(**{key: " ".join(value[key].split()) for key in _KEYS})
