"""Zero-shot classification: text classifiers, CLIP + ConSE scores, open vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sports_clip_pipeline.clip.projections import Projections, unit_norm
from sports_clip_pipeline.data.captions import pad
from sports_clip_pipeline.data.class_bank import ClassBank, ClassEntry
from sports_clip_pipeline.encoders import image_encoders
from sports_clip_pipeline.encoders.backends import EncoderProgram, build_backend
from sports_clip_pipeline.encoders.image_encoders import (
    imagenet_classifier,
    imagenet_definitions,
    imagenet_names,
)
from sports_clip_pipeline.encoders.text_encoders import caption_tokenizer
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.pipelines.tokenize.config import TokenizeConfig
from sports_clip_pipeline.predictor.head import Head, Operation, add, affine, columns


def encode_prompts(
    bank: ClassBank, text_encoder: str, tokenize: TokenizeConfig, clip_folder: Path | None = None
) -> dict[str, np.ndarray]:
    """Text features (E,) before projection of every prompt of the bank, by its text.

    Args:
        clip_folder: whose text encoder reads the prompts where it was trained.
    """
    texts = prompt_texts(bank)
    return dict(zip(texts, encode_texts(texts, text_encoder, tokenize, clip_folder), strict=True))


def prompt_texts(bank: ClassBank) -> list[str]:
    """Every prompt of the bank, each once."""
    texts = (
        text
        for label in bank.labels
        for kind in ("names", "sentences")
        for text in _texts(bank, label, kind)
    )
    return list(dict.fromkeys(texts))


def build_zero_shot_classifier(
    bank: ClassBank,
    prompts: str,
    features: Mapping[str, np.ndarray],
    embed: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Anchors (C, P) float32 unit-norm in the order of the bank.

    Each prompt is embedded; the prompts of a kind (names in templates, sentences) are averaged and
    normalised; so are the kinds.

    Args:
        prompts: `names`, `sentences` or `both`. A class without sentences uses its names alone.
        features: of all prompts, from `encode_prompts`.
        embed: text features (M, E) to unit-norm rows (M, P).
    Source: Radford et al. 2021, section 3.1.4 (prompt ensembling in the embedding space).
    """
    kinds = ("names", "sentences") if prompts == "both" else (prompts,)
    anchors = []
    for label in bank.labels:
        texts = [_texts(bank, label, kind) for kind in kinds]
        groups = [group for group in texts if group] or [_texts(bank, label, "names")]
        embedded = [embed(np.stack([features[text] for text in group])) for group in groups]
        means = [unit_norm(group.mean(axis=0)) for group in embedded]
        anchors.append(unit_norm(np.mean(means, axis=0)))
    return np.stack(anchors).astype(np.float32)


def _texts(bank: ClassBank, label: str, kind: str) -> Sequence[str]:
    if kind == "sentences":
        return bank.sentences(label)
    return [template.format(name) for name in bank.names(label) for template in bank.templates]


def encode_texts(
    texts: Sequence[str], text_encoder: str, tokenize: TokenizeConfig, clip_folder: Path | None
) -> np.ndarray:
    """Text features (M, E) float32 before projection.

    Args:
        clip_folder: whose text encoder reads them where it was trained.
    """
    return text_reader(text_encoder, tokenize, clip_folder)(texts)


def text_reader(
    text_encoder: str, tokenize: TokenizeConfig, clip_folder: Path | None
) -> Callable[[Sequence[str]], np.ndarray]:
    """`encode_texts` with the encoder built once, for whoever reads again and again."""
    tokenizer = caption_tokenizer(text_encoder, tokenize.context_length)
    program = EncoderProgram("text", text_encoder, Path(), clip_folder=clip_folder)
    backend = build_backend(program, "torch", cores())

    def read(texts: Sequence[str]) -> np.ndarray:
        ids = tokenizer(texts).ids
        blocks = [ids[i : i + 64] for i in range(0, len(ids), 64)]
        return np.concatenate([backend(*pad(block))[0] for block in blocks])

    return read


@dataclass(frozen=True)
class NamedClasses:
    """The image encoder's own classes, with what the text encoder makes of their names.

    Attributes:
        weight: (K, D) and bias: (K,); pooled features to the encoder's own logits.
        words: (K, E) float32 unit-norm text features of the names.
    """

    weight: np.ndarray
    bias: np.ndarray
    words: np.ndarray

    def describe(self, features: np.ndarray) -> np.ndarray:
        """Pooled features (N, D) to unit-norm descriptions (N, E).

        Source: Norouzi et al. 2014 (ConSE), equation 2, over all classes.
        """
        return Head(self.operations())(features)

    def operations(self) -> tuple[Operation, ...]:
        """The same as operations of a head."""
        return (
            Operation("affine", {"weight": self.weight, "bias": self.bias}),
            Operation("softmax", {"temperature": np.ones((), dtype=np.float32)}),
            affine(np.ascontiguousarray(self.words.T)),
            Operation("l2_normalise"),
        )


@dataclass(frozen=True)
class ZeroShotScores:
    """What zero-shot logits are made of.

    Attributes:
        embed: pooled features (N, D) of the CLIP model's encoder to unit-norm embeddings (N, P).
        anchors: (C, P) unit-norm. logit_scale: of cosines, > 0.
        named: the image encoder's own classes; None where it names none.
        prompts: (C, E) unit-norm anchors in the text encoder's own space.
        widths: columns of each encoder in stacked features, the CLIP model's first.
    """

    embed: tuple[Operation, ...]
    anchors: np.ndarray
    logit_scale: float
    named: NamedClasses | None
    prompts: np.ndarray
    widths: tuple[int, ...] = ()

    def describe(self, features: np.ndarray) -> np.ndarray:
        """`NamedClasses.describe` (N, E); zeros where the encoder has no ImageNet classes."""
        if self.named is None:
            return np.zeros((len(features), self.prompts.shape[1]), dtype=np.float32)
        return self.named.describe(features)

    def head(
        self,
        names_weight: float = 0.0,
        class_bias: np.ndarray | None = None,
        single: bool = False,
    ) -> Head:
        """Pooled features to logits (N, C): scale · (cos + weight · cos of names) + bias.

        Args:
            class_bias: (C,). single: the features are the CLIP model's encoder's alone.
        """
        bias = np.zeros(len(self.anchors)) if class_bias is None else class_bias
        clip = (*self.embed, affine(self.anchors * self.logit_scale, bias))
        several = len(self.widths) > 1 and not single
        first = (columns(0, self.widths[0]),) if several else ()
        if names_weight == 0.0 or self.named is None:
            return Head((*first, *clip))
        scaled = self.prompts * (self.logit_scale * names_weight)
        named = (*self.named.operations(), affine(scaled))
        return Head((*first, add(Head(clip), Head(named))))


def hubness(logits: np.ndarray) -> np.ndarray:
    """How much of everything each class draws: log mean exp of its logits over other images.

    Args:
        logits: (N, C) of images that have nothing to do with the classes.
    Returns: (C,) float64. Subtracting it makes the classes equally likely on those images
        one at a time, as the inverted softmax does.
    Source: Smith et al. 2017, section 2.3 (inverted softmax).
    """
    top = logits.max(axis=0)
    return np.asarray(top + np.log(np.exp(logits.astype(np.float64) - top).mean(axis=0)))


def named_classes(
    image_encoder: str, text_encoder: str, tokenize: TokenizeConfig
) -> NamedClasses | None:
    """The image encoder's own 1,000 classes; each read as first name, all names, definition.

    None for an encoder that does not tell ImageNet's classes apart.
    """
    if not image_encoders.image_encoder(image_encoder).names_imagenet():
        return None
    weight, bias = imagenet_classifier(image_encoder)
    names = imagenet_names()
    forms = (
        [name.split(",")[0] for name in names],
        names,
        [f"{name}: {text}" for name, text in zip(names, imagenet_definitions(), strict=True)],
    )
    read = [unit_norm(encode_texts(form, text_encoder, tokenize, None)) for form in forms]
    words = unit_norm(np.mean(read, axis=0)).astype(np.float32)
    return NamedClasses(weight, bias, words)


def named_in(head: Head) -> NamedClasses | None:
    """The named classes that `ZeroShotScores.head` built into a head; None where it built in none.

    The head of a study holds what took thousands of texts to read.
    """
    joined = head.operations[-1]
    if joined.kind != "sum":
        return None
    classifier, _, described, _, _ = joined.branches[1].operations
    words = np.ascontiguousarray(described.arrays["weight"].T)
    return NamedClasses(classifier.arrays["weight"], classifier.arrays["bias"], words)


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
        read: texts to features (M, E) of the CLIP model's text encoder.
        read_plain: the same of that encoder before pretraining, for the ConSE classifier.
        projections: of the CLIP model.
        named: the ConSE classifier; None where the study has none.
        names_weight, hubness_share: of the study's `zero_shot_choice`.
        background: (N, D) pooled features of images that have nothing to do with the names.
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
        """Pooled features (N, D) of the CLIP model's image encoder to logits (N, C).

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
        """Anchors (P,) in CLIP's space and (E,) in the text encoder's own."""
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
            build_zero_shot_classifier(bank, self.prompts, by_text, embed)[0],
            build_zero_shot_classifier(bank, self.prompts, plain_by_text, unit_norm)[0],
        )

    def _witnesses(self, anchors: np.ndarray, words: np.ndarray) -> ZeroShotScores:
        embed = (*self.projections.image_operations(), Operation("l2_normalise"))
        scale = float(np.exp(self.projections.logit_scale))
        return ZeroShotScores(embed, anchors, scale, self.named, words)

    def _drawn(self, parts: ZeroShotScores) -> np.ndarray:
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
