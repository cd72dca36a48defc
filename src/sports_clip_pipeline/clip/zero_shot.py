"""Zero-shot classification: text classifiers, CLIP + ConSE scores, open vocabulary."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
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
    """The text encoder as a function; the trained one of a CLIP folder, if it has one."""
    tokenizer = caption_tokenizer(text_encoder, tokenize.context_length)
    program = EncoderProgram("text", text_encoder, Path(), clip_folder=clip_folder)
    backend = build_backend(program, "torch", cores())

    def encode(texts: Sequence[str]) -> np.ndarray:
        ids = tokenizer(texts).ids
        blocks = [ids[i : i + 64] for i in range(0, len(ids), 64)]
        return np.concatenate([backend(*pad(block))[0] for block in blocks])

    return encode


def encode_prompts(bank: ClassBank, encode: TextFeatures) -> dict[str, np.ndarray]:
    """Text features (E,) before projection of every prompt of the bank, by its text."""
    texts = prompt_texts(bank)
    return dict(zip(texts, encode(texts), strict=True))


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


def conse_operations(
    weight: np.ndarray, bias: np.ndarray, names: np.ndarray
) -> tuple[Operation, ...]:
    """ConSE: the expected class-name embedding under the encoder's own classifier.

    Args:
        weight: (K, D), bias: (K,); the image encoder's own (ImageNet) classifier.
        names: (K, E) float32 unit-norm text features of its class names.
    Returns: pooled features (N, D) to unit-norm embeddings (N, E), as operations of a head.
    Source: Norouzi et al. 2014 (ConSE), equation 2, over all classes.
    """
    return (
        affine(weight, bias),
        Operation("softmax", {"temperature": np.ones((), dtype=np.float32)}),
        affine(np.ascontiguousarray(names.T)),
        Operation("l2_normalise"),
    )


@dataclass(frozen=True)
class ZeroShotScores:
    """Zero-shot logits from CLIP cosines and ConSE cosines.

    Attributes:
        embed: pooled features (N, D) of the CLIP model's encoder to unit-norm embeddings (N, P).
        weights: (C, P) unit-norm zero-shot weights. logit_scale: of cosines, > 0.
        conse: `conse_operations` of the image encoder; empty without an ImageNet classifier.
        text_weights: (C, E) unit-norm zero-shot weights in the text encoder's own space.
        widths: columns of each encoder in concatenated features, the CLIP model's first.
    """

    embed: tuple[Operation, ...]
    weights: np.ndarray
    logit_scale: float
    conse: tuple[Operation, ...]
    text_weights: np.ndarray
    widths: tuple[int, ...] = ()

    def conse_embeddings(self, features: np.ndarray) -> np.ndarray:
        """Pooled features (N, D) to (N, E) unit-norm; zeros without an ImageNet classifier."""
        if not self.conse:
            return np.zeros((len(features), self.text_weights.shape[1]), dtype=np.float32)
        return Head(self.conse)(features)

    def head(self, names_weight: float = 0.0, class_bias: np.ndarray | None = None) -> Head:
        """Pooled features to logits (N, C): scale · (cos + weight · ConSE cos) + bias (C,)."""
        clip = (*self.embed, affine(self.weights * self.logit_scale, class_bias))
        first = (columns(0, self.widths[0]),) if len(self.widths) > 1 else ()
        if names_weight == 0.0 or not self.conse:
            return Head((*first, *clip))
        scaled = self.text_weights * (self.logit_scale * names_weight)
        return Head((*first, add(Head(clip), Head((*self.conse, affine(scaled))))))


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


def build_conse(
    image_encoder: str, text_encoder: str, tokenize: TokenizeConfig
) -> tuple[Operation, ...]:
    """ConSE of an image encoder's 1,000 ImageNet classes; empty if it has no such classifier.

    The embedding of a class averages those of its first name, all names, and its definition.
    """
    classifier = image_encoders.image_encoder(image_encoder).imagenet_classifier()
    if classifier is None:
        return ()
    names = image_encoders.imagenet_classes()
    first_names = [name.split(",")[0] for name in names]
    encode = text_features(text_encoder, tokenize)
    forms = (first_names, names, image_encoders.imagenet_classes(definitions=True))
    embedded = [unit_norm(encode(form)) for form in forms]
    mean = unit_norm(np.mean(embedded, axis=0)).astype(np.float32)
    return conse_operations(*classifier, mean)


def conse_of(head: Head) -> tuple[Operation, ...]:
    """The ConSE operations in a head of `ZeroShotScores.head`; empty if it has none."""
    last = head.operations[-1]
    return last.branches[1].operations[:-1] if last.branches else ()


# Templates of names that are not in the class bank, whose own templates may be about players.
GENERAL_TEMPLATES = ("a photo of {}.", "This picture shows {}.")
_CACHED_NAMES = 1000


@dataclass(frozen=True)
class OpenVocabulary:
    """Zero-shot heads for any names; for a study's own labels `head` equals the study's.

    Attributes:
        bank: prompts of known names. prompts: the study's `names`, `sentences` or `both`.
        encode: text features of the CLIP model's encoder; `encode_original`: before pretraining.
        projections: of the CLIP model. conse: empty where the study has none.
        names_weight, hubness_share: of the study's `zero_shot_choice`.
        background: (N, D) pooled features of images unrelated to the names.
    """

    bank: ClassBank
    prompts: str
    encode: TextFeatures
    encode_original: TextFeatures
    projections: Projections
    conse: tuple[Operation, ...]
    names_weight: float
    hubness_share: float
    background: np.ndarray
    _weights: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    def head(self, names: Sequence[str]) -> Head:
        """Pooled features (N, D) of the CLIP model's image encoder to logits (N, C) of C names."""
        pairs = [self._weights_of(name) for name in names]
        weights, text_weights = (np.stack(rows) for rows in zip(*pairs, strict=True))
        scale = float(np.exp(self.projections.logit_scale))
        scores = ZeroShotScores(self._embed, weights, scale, self.conse, text_weights)
        if self.hubness_share == 0.0:
            return scores.head(self.names_weight)
        image_emb, conse_emb = self._background_emb
        cosines = image_emb @ weights.T
        if conse_emb is not None and self.names_weight:
            cosines = cosines + np.float32(self.names_weight) * (conse_emb @ text_weights.T)
        return scores.head(self.names_weight, -self.hubness_share * hubness(scale * cosines))

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
            features = encode_prompts(bank, self.encode)
            same = self.encode_original is self.encode
            original = features if same else encode_prompts(bank, self.encode_original)
            spaces = ((features, self.projections.text_embeddings), (original, unit_norm))
            clip, text = (
                build_zero_shot_classifier(bank, self.prompts, *space)[0] for space in spaces
            )
            self._weights[name] = clip, text
        return self._weights[name]

    @property
    def _embed(self) -> tuple[Operation, ...]:
        return (*self.projections.image_operations(), Operation("l2_normalise"))

    @cached_property
    def _background_emb(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Embeddings of the background: CLIP's (N, P) and ConSE's (N, E)."""
        conse_emb = Head(self.conse)(self.background) if self.conse else None
        return Head(self._embed)(self.background), conse_emb


def _normalise(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()
