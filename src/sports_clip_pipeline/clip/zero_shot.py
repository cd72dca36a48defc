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
from sports_clip_pipeline.encoders.text_encoders import caption_tokenizer
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.pipelines.embed.config import TokenizeConfig
from sports_clip_pipeline.predictor.head import Head, Operation, add, affine, columns

# Texts to features (M, E) float32 before projection.
TextFeatures = Callable[[Sequence[str]], np.ndarray]


def text_features(
    text_encoder: str, tokenize: TokenizeConfig, clip_folder: Path | None = None
) -> TextFeatures:
    """A function from texts to text features (M, E) float32, before projection.

    Args:
        clip_folder: a CLIP folder; its text encoder is used if it was trained.
    """
    tokenizer = caption_tokenizer(text_encoder, tokenize.context_length)
    program = EncoderProgram("text", text_encoder, Path(), clip_folder=clip_folder)
    backend = build_backend(program, "torch", cores())

    def encode(texts: Sequence[str]) -> np.ndarray:
        ids = tokenizer(texts).ids
        blocks = [ids[i : i + 64] for i in range(0, len(ids), 64)]
        return np.concatenate([backend(*pad(block))[0] for block in blocks])

    return encode


def encode_prompts(
    bank: ClassBank, text_encoder: str, tokenize: TokenizeConfig, clip_folder: Path | None = None
) -> dict[str, np.ndarray]:
    """Text features (E,) before projection of every prompt of the bank, by its text.

    Args:
        clip_folder: see `text_features`.
    """
    texts = prompt_texts(bank)
    features = text_features(text_encoder, tokenize, clip_folder)(texts)
    return dict(zip(texts, features, strict=True))


def prompt_texts(bank: ClassBank) -> list[str]:
    """The distinct prompts of the bank."""
    kinds = ("names", "sentences")
    texts = (t for label in bank.labels for kind in kinds for t in _texts(bank, label, kind))
    return list(dict.fromkeys(texts))


def build_zero_shot_classifier(
    bank: ClassBank,
    prompts: str,
    features: Mapping[str, np.ndarray],
    embed: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Zero-shot weights (C, P) float32 unit-norm, in the order of the bank's classes.

    The embeddings of each kind of prompts (names in templates, sentences) are averaged and
    normalised; so are the kinds.

    Args:
        prompts: `names`, `sentences` or `both`. A class without sentences uses its names alone.
        features: of all prompts, from `encode_prompts`.
        embed: text features (M, E) to unit-norm rows (M, P).
    Source: Radford et al. 2021, section 3.1.4 (prompt ensembling in the embedding space).
    """
    kinds = ("names", "sentences") if prompts == "both" else (prompts,)
    weights = []
    for label in bank.labels:
        texts = [_texts(bank, label, kind) for kind in kinds]
        groups = [group for group in texts if group] or [_texts(bank, label, "names")]
        embedded = [embed(np.stack([features[text] for text in group])) for group in groups]
        means = [unit_norm(group.mean(axis=0)) for group in embedded]
        weights.append(unit_norm(np.mean(means, axis=0)))
    return np.stack(weights).astype(np.float32)


def _texts(bank: ClassBank, label: str, kind: str) -> Sequence[str]:
    if kind == "sentences":
        return bank[label].sentences
    return [template.format(name) for name in bank[label].names for template in bank.templates]


@dataclass(frozen=True)
class Conse:
    """ConSE embeddings: the expected class-name embedding under the encoder's own classifier.

    Attributes:
        weight: (K, D) and bias: (K,); the image encoder's own (ImageNet) classifier.
        names: (K, E) float32 unit-norm text features of its class names.
    Source: Norouzi et al. 2014 (ConSE), equation 2, over all classes.
    """

    weight: np.ndarray
    bias: np.ndarray
    names: np.ndarray

    def operations(self) -> tuple[Operation, ...]:
        """Pooled features (N, D) to unit-norm embeddings (N, E), as operations of a head."""
        return (
            affine(self.weight, self.bias),
            Operation("softmax", {"temperature": np.ones((), dtype=np.float32)}),
            affine(np.ascontiguousarray(self.names.T)),
            Operation("l2_normalise"),
        )


@dataclass(frozen=True)
class ZeroShotScores:
    """Zero-shot logits from CLIP cosines and ConSE cosines.

    Attributes:
        embed: pooled features (N, D) of the CLIP model's encoder to unit-norm embeddings (N, P).
        weights: (C, P) unit-norm zero-shot weights. logit_scale: of cosines, > 0.
        conse: of the image encoder; None if it has no ImageNet classifier.
        text_weights: (C, E) unit-norm zero-shot weights in the text encoder's own space.
        widths: columns of each encoder in concatenated features, the CLIP model's first.
    """

    embed: tuple[Operation, ...]
    weights: np.ndarray
    logit_scale: float
    conse: Conse | None
    text_weights: np.ndarray
    widths: tuple[int, ...] = ()

    def conse_embeddings(self, features: np.ndarray) -> np.ndarray:
        """Pooled features (N, D) to (N, E) unit-norm; zeros without an ImageNet classifier."""
        if self.conse is None:
            return np.zeros((len(features), self.text_weights.shape[1]), dtype=np.float32)
        return Head(self.conse.operations())(features)

    def head(
        self,
        names_weight: float = 0.0,
        class_bias: np.ndarray | None = None,
        single: bool = False,
    ) -> Head:
        """Pooled features to logits (N, C): scale · (cos + weight · ConSE cos) + bias.

        Args:
            class_bias: (C,). single: the features are those of the CLIP model's encoder alone.
        """
        bias = np.zeros(len(self.weights)) if class_bias is None else class_bias
        clip = (*self.embed, affine(self.weights * self.logit_scale, bias))
        several = len(self.widths) > 1 and not single
        first = (columns(0, self.widths[0]),) if several else ()
        if names_weight == 0.0 or self.conse is None:
            return Head((*first, *clip))
        scaled = self.text_weights * (self.logit_scale * names_weight)
        conse = (*self.conse.operations(), affine(scaled))
        return Head((*first, add(Head(clip), Head(conse))))


def hubness(logits: np.ndarray) -> np.ndarray:
    """Hubness bias of each class: log mean exp of its logits over background images.

    Args:
        logits: (N, C) of images unrelated to the classes.
    Returns: (C,) float64. Subtracting it makes the classes equally likely on the background
        images, as the inverted softmax does.
    Source: Smith et al. 2017, section 2.3 (inverted softmax).
    """
    top = logits.max(axis=0)
    return np.asarray(top + np.log(np.exp(logits.astype(np.float64) - top).mean(axis=0)))


def build_conse(image_encoder: str, text_encoder: str, tokenize: TokenizeConfig) -> Conse | None:
    """ConSE of an image encoder's 1,000 ImageNet classes; None if it has no such classifier.

    The embedding of a class averages those of its first name, all names, and its definition.
    """
    if not image_encoders.image_encoder(image_encoder).names_imagenet():
        return None
    weight, bias = image_encoders.imagenet_classifier(image_encoder)
    names = image_encoders.imagenet_names()
    definitions = image_encoders.imagenet_definitions()
    forms = (
        [name.split(",")[0] for name in names],
        names,
        [f"{name}: {text}" for name, text in zip(names, definitions, strict=True)],
    )
    encode = text_features(text_encoder, tokenize)
    embedded = [unit_norm(encode(form)) for form in forms]
    return Conse(weight, bias, unit_norm(np.mean(embedded, axis=0)).astype(np.float32))


def conse_of(head: Head) -> Conse | None:
    """The ConSE inside a head of `ZeroShotScores.head`, without encoding texts; None for none."""
    last = head.operations[-1]
    if last.kind != "sum":
        return None
    classifier, _, names, _, _ = last.branches[1].operations
    matrix = np.ascontiguousarray(names.arrays["weight"].T)
    return Conse(classifier.arrays["weight"], classifier.arrays["bias"], matrix)


# Templates of names that are not in the class bank, whose own templates may be about players.
GENERAL_TEMPLATES = ("a photo of {}.", "This picture shows {}.")
_CACHED_NAMES = 1000


@dataclass(frozen=True)
class OpenVocabulary:
    """Zero-shot heads for any names; for a study's own labels `head` equals the study's.

    Attributes:
        bank: prompts of known names.
        prompts: `names`, `sentences` or `both`, as the study chose.
        encode: text features of the CLIP model's text encoder.
        encode_original: text features before pretraining, for ConSE.
        projections: of the CLIP model.
        conse: None where the study has none.
        names_weight, hubness_share: of the study's `zero_shot_choice`.
        background: (N, D) pooled features of images unrelated to the names.
    """

    bank: ClassBank
    prompts: str
    encode: TextFeatures
    encode_original: TextFeatures
    projections: Projections
    conse: Conse | None
    names_weight: float
    hubness_share: float
    background: np.ndarray
    _weights: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)
    _background_emb: list[np.ndarray] = field(default_factory=list, repr=False)

    def head(self, names: Sequence[str]) -> Head:
        """Pooled features (N, D) of the CLIP model's image encoder to logits (N, C).

        Args:
            names: C names in free text.
        """
        pairs = [self._weights_of(name) for name in names]
        weights, text_weights = (np.stack(rows) for rows in zip(*pairs, strict=True))
        embed = (*self.projections.image_operations(), Operation("l2_normalise"))
        scale = float(np.exp(self.projections.logit_scale))
        scores = ZeroShotScores(embed, weights, scale, self.conse, text_weights)
        return scores.head(self.names_weight, -self.hubness_share * self._hubness(scores))

    def bank_of(self, name: str) -> ClassBank:
        """A bank of one class: the study's entry of this name, or the name in general templates.

        Labels and names match in any case, with spaces or underscores.
        """
        normalised = _normalise(name)
        for entry in self.bank.classes:
            if normalised in {_normalise(entry.label), *map(_normalise, entry.names)}:
                return ClassBank(templates=self.bank.templates, classes=(entry,))
        entry = ClassEntry(label=name, names=(name,))
        return ClassBank(templates=GENERAL_TEMPLATES, classes=(entry,))

    def _weights_of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Zero-shot weights (P,) in CLIP's space and (E,) in the text encoder's own, cached."""
        if name not in self._weights:
            if len(self._weights) >= _CACHED_NAMES:
                self._weights.clear()
            bank = self.bank_of(name)
            texts = prompt_texts(bank)
            features = self.encode(texts)  # (M, E)
            same = self.encode_original is self.encode
            original = features if same else self.encode_original(texts)
            spaces = ((features, self.projections.text_embeddings), (original, unit_norm))
            clip, text = (
                build_zero_shot_classifier(
                    bank, self.prompts, dict(zip(texts, rows, strict=True)), embed
                )[0]
                for rows, embed in spaces
            )
            self._weights[name] = clip, text
        return self._weights[name]

    def _hubness(self, scores: ZeroShotScores) -> np.ndarray:
        """Hubness (C,) on the background, whose embeddings are computed once."""
        if self.hubness_share == 0.0:
            return np.zeros(len(scores.weights))
        if not self._background_emb:
            self._background_emb.append(Head(scores.embed)(self.background))  # (N, P)
            self._background_emb.append(scores.conse_embeddings(self.background))  # (N, E)
        clip_emb, conse_emb = self._background_emb
        cosines = clip_emb @ scores.weights.T
        if self.names_weight:
            cosines = cosines + np.float32(self.names_weight) * (conse_emb @ scores.text_weights.T)
        return hubness(scores.logit_scale * cosines)


def _normalise(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()
