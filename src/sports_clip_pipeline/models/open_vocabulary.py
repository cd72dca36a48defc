"""A study's zero-shot classifier for any class names, not only its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sports_clip_pipeline.data.classes import ClassBank, ClassEntry
from sports_clip_pipeline.models.anchors import class_anchors, prompt_texts
from sports_clip_pipeline.models.head import Head, Operation
from sports_clip_pipeline.models.projections import Projections
from sports_clip_pipeline.models.unit_norm import unit_norm
from sports_clip_pipeline.models.zero_shot_head import NamedClasses, Witnesses, hubness

GENERAL_TEMPLATES = ("a photo of {}.", "This picture shows {}.")
"""What a name is put into that the class bank does not know: its templates may speak of players."""
_KEPT = 1000  # names whose anchors are remembered

Reader = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class OpenVocabulary:
    """What the zero-shot head of a study is made of, but for the names.

    For the study's own labels `head` gives the study's own classifier.

    Attributes:
        bank: the names it knows get their prompts from here.
        prompts: `names`, `sentences` or `both`, as the study chose.
        read: texts to features (M, E) of the CLIP model's text tower.
        read_plain: the same of that tower before pretraining, for the second witness.
        projections: of the CLIP model.
        named: the second witness; None where the study has none.
        names_weight, hubness_share: of the study's `zero_shot_choice`.
        background: (N, D) pooled features of photographs that have nothing to do with the names.
    """

    bank: ClassBank
    prompts: str
    read: Reader
    read_plain: Reader
    projections: Projections
    named: NamedClasses | None
    names_weight: float
    hubness_share: float
    background: np.ndarray
    _anchors: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)
    _seen: list[np.ndarray] = field(default_factory=list, repr=False)

    def head(self, names: Sequence[str]) -> Head:
        """Pooled features (N, D) of the CLIP model's image tower to logits (N, C).

        Args:
            names: C names, as people type them.
        """
        pairs = [self._anchors_of(name) for name in names]
        anchors, words = (np.stack(part) for part in zip(*pairs, strict=True))  # (C, P), (C, E)
        parts = self._witnesses(anchors, words)
        return parts.head(self.names_weight, -self.hubness_share * self._drawn(parts))

    def bank_of(self, name: str) -> ClassBank:
        """A bank of one class: the study's entry for this name, or the name in general templates.

        A name is known as a label or as one of a label's names, whatever its case, with blanks or
        underscores.
        """
        wanted = _plain(name)
        for entry in self.bank.classes:
            if wanted in {_plain(entry.label), *map(_plain, entry.names)}:
                return ClassBank(templates=self.bank.templates, classes=(entry,))
        return ClassBank(
            templates=GENERAL_TEMPLATES, classes=(ClassEntry(label=name, names=(name,)),)
        )

    def _anchors_of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Anchors (P,) in CLIP's space and (E,) in the text tower's own."""
        if name not in self._anchors:
            if len(self._anchors) >= _KEPT:
                self._anchors.clear()
            self._anchors[name] = self._encode(self.bank_of(name))
        return self._anchors[name]

    def _encode(self, bank: ClassBank) -> tuple[np.ndarray, np.ndarray]:
        texts = prompt_texts(bank)
        features = self.read(texts)  # (M, E)
        plain = features if self.read_plain is self.read else self.read_plain(texts)
        by_text, plain_by_text = (dict(zip(texts, rows, strict=True)) for rows in (features, plain))
        embed = self.projections.text_embeddings
        return (
            class_anchors(bank, self.prompts, by_text, embed)[0],
            class_anchors(bank, self.prompts, plain_by_text, unit_norm)[0],
        )

    def _witnesses(self, anchors: np.ndarray, words: np.ndarray) -> Witnesses:
        embed = (*self.projections.image_operations(), Operation("l2_normalise"))
        scale = float(np.exp(self.projections.logit_scale))
        return Witnesses(embed, anchors, scale, self.named, words)

    def _drawn(self, parts: Witnesses) -> np.ndarray:
        """(C,): what each name draws of the background, whose own side is computed once."""
        if self.hubness_share == 0.0:
            return np.zeros(len(parts.anchors))
        if not self._seen:
            self._seen.append(Head(parts.embed)(self.background))  # (N, P)
            self._seen.append(parts.describe(self.background))  # (N, E)
        images, described = self._seen
        joined = images @ parts.anchors.T
        if self.names_weight:
            joined = joined + np.float32(self.names_weight) * (described @ parts.prompts.T)
        return hubness(parts.logit_scale * joined)


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()
