"""Zero-shot classification as a table, and what each part of it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sports_clip_pipeline.clip.zero_shot import ZeroShotScores, hubness
from sports_clip_pipeline.encoders.feature_store import concat_features
from sports_clip_pipeline.evaluation.bootstrap import bootstrap_interval
from sports_clip_pipeline.evaluation.metrics import classification_report, macro_f1
from sports_clip_pipeline.evaluation.retrieval import retrieval_metrics_of
from sports_clip_pipeline.predictor.head import softmax


def zero_shot_table(
    logits: np.ndarray,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    labels: Sequence[str],
) -> pd.DataFrame:
    """Probabilities of every photograph.

    Args:
        logits: (N, C) in manifest order, in the order of `labels`.
        splits: `image`, `part`, `label`.
    Returns: `image`, `part`, `label`, `predicted`, `probability`, `probabilities`; in the order
        of `splits`.
    Source: Radford et al. 2021, section 3.1.
    """
    row_of = pd.Series(np.arange(len(manifest)), index=manifest["image"])
    probabilities = softmax(logits[row_of.loc[splits["image"]].to_numpy()])  # (N, C)
    best = probabilities.argmax(axis=1)
    return pd.DataFrame(
        {
            "image": splits["image"].to_numpy(),
            "split": splits["split"].to_numpy(),
            "label": splits["label"].to_numpy(),
            "predicted": np.asarray(labels, dtype=object)[best],
            "probability": probabilities[np.arange(len(best)), best],
            "probabilities": list(probabilities.astype(np.float32)),
        }
    )


def score_table(
    predictions: pd.DataFrame, labels: Sequence[str], resamples: int, seed: int
) -> dict[str, Any]:
    """The report of a predictions table on the evaluation part, with an interval for top-1."""
    evaluation = predictions[predictions["split"] == "evaluation"]
    target = encode_labels(evaluation["label"], labels)
    probabilities = np.stack(evaluation["probabilities"].to_list()).astype(np.float64)
    report = classification_report(probabilities, target, labels)
    correct = (probabilities.argmax(axis=1) == target)[None, :]
    return {**report, "top1_ci95": list(bootstrap_interval(correct, seed, resamples))}


@dataclass(frozen=True)
class Variant:
    """One way of classifying without labels.

    Attributes:
        name: what it is. changed: against the row above. chosen_on: where its settings come from.
        logits: (N, C) of the photographs it is judged on.
    """

    name: str
    changed: str
    chosen_on: str
    logits: np.ndarray


def ablation_variants(
    zero_shot_scores: ZeroShotScores,
    anchors: Mapping[str, np.ndarray],
    choice: Mapping[str, Any],
    features: np.ndarray,
) -> list[Variant]:
    """The steps that lead to the zero-shot answers, each with what it adds.

    Args:
        zero_shot_scores: what zero-shot knows of the classes.
        anchors: `anchors.names`, `anchors.sentences`, `anchors.both` of `zero_shot_weights`.
        choice: `names_weight`, `class_bias` and `hubness_share` that were chosen.
        features: (N, ΣD) of the photographs to judge on.
    """
    written, held_out = "written beforehand", "captions of the validation part"
    weight, bias = choice["names_weight"], np.asarray(choice["class_bias"])
    variants = [
        Variant(name, changed, written, replace(zero_shot_scores, anchors=rows).head()(features))
        for name, changed, rows in (
            ("names", "class names in templates", anchors["weights.names"]),
            ("sentences", "sentences that describe each class", anchors["weights.sentences"]),
            ("names and sentences", "both, evenly", anchors["weights.both"]),
        )
    ]
    if zero_shot_scores.named is not None:
        changed = f"the image tower's own class names count {weight:g}"
        logits = zero_shot_scores.head(weight)(features)
        variants.append(Variant("with ImageNet names", changed, held_out, logits))
    taken = f"{choice['hubness_share']:g} of each class's draw on other photographs taken away"
    logits = zero_shot_scores.head(weight, bias)(features)
    return [*variants, Variant("without hubs", taken, held_out, logits)]


def ablation_table(
    variants: Sequence[Variant], target: np.ndarray, resamples: int, seed: int
) -> pd.DataFrame:
    """What each variant of zero-shot classification reaches on the same photographs.

    Args:
        target: (N,) int in [0, C).
    Returns: `name`, `top1`, `low`, `high`, `macro_f1`, `changed`, `chosen_on`; in the order given.
    """
    rows = []
    for variant in variants:
        predicted = variant.logits.argmax(axis=1)
        low, high = bootstrap_interval((predicted == target)[None, :], seed, resamples)
        rows.append(
            {
                "name": variant.name,
                "top1": float((predicted == target).mean()),
                "low": low,
                "high": high,
                "macro_f1": macro_f1(predicted, target, variant.logits.shape[1]),
                "changed": variant.changed,
                "chosen_on": variant.chosen_on,
            }
        )
    return pd.DataFrame(rows)


def transduction_table(
    answers: Sequence[tuple[str, str, np.ndarray, str]],
    target: np.ndarray,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """What zero-shot reaches that learns from photographs without labels.

    Args:
        answers: method, the part whose photographs it learned from, its logits or probabilities
            (N, C) of the evaluation photographs, and the class prior that it assumed.
        target: (N,) int in [0, C).
    Returns: `method`, `part`, `top1`, `low`, `high`, `prior`; in the order given.
    """
    rows = []
    for method, part, values, prior in answers:
        correct = values.argmax(axis=1) == target
        low, high = bootstrap_interval(correct[None, :], seed, resamples)
        rows.append((method, part, float(correct.mean()), low, high, prior))
    return pd.DataFrame(rows, columns=["method", "split", "top1", "low", "high", "prior"])


def encode_labels(column: pd.Series, labels: Sequence[str]) -> np.ndarray:
    """Labels as positions in `labels`, (N,) int64. Raises: ValueError: a label is not listed."""
    codes = pd.Index(labels).get_indexer(pd.Index(column))
    if (codes < 0).any():
        raise ValueError(
            f"label {column.iloc[int((codes < 0).argmax())]!r} is not in the class bank"
        )
    return codes.astype(np.int64)


def evaluation_target(splits: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Classes of the evaluation photographs, (N,) int64, in the order of the splits."""
    rows = splits["split"] == "evaluation"
    return encode_labels(splits.loc[rows, "label"], labels)


def evaluation_features(splits: pd.DataFrame, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Features (N, ΣD) of the evaluation photographs, all towers, in the order of the splits."""
    return concat_features(arrays)[0][(splits["split"] == "evaluation").to_numpy()]


def evaluation_probabilities(predictions: pd.DataFrame) -> np.ndarray:
    """Zero-shot probabilities (N, C) of the evaluation photographs, in the order of the splits."""
    rows = predictions["split"] == "evaluation"
    return np.stack(predictions.loc[rows, "probabilities"].to_list())


@dataclass(frozen=True)
class Seen:
    """Images and captions as both zero_shot_scores see them; all rows have unit norm.

    Attributes:
        image_emb: (N, P). image_words: (N, E), the descriptions by class names.
        text_emb: (M, P). text_words: (M, E).
        owner: (M,) int; the image that caption m describes.
    """

    image_emb: np.ndarray
    image_words: np.ndarray
    text_emb: np.ndarray
    text_words: np.ndarray
    owner: np.ndarray

    def similarity(self, weight: float, images: Seen | None = None) -> np.ndarray:
        """(M, N) of every caption with every image, of its own or of others."""
        others = images or self
        joined = self.text_emb @ others.image_emb.T
        return joined + np.float32(weight) * (self.text_words @ others.image_words.T)


def choose_settings(
    validation: Seen,
    background: Seen,
    logit_scale: float,
    weights: Sequence[float],
    shares: Sequence[float],
) -> dict[str, Any]:
    """The weight of class names and the share of hubness to take away, with all that was tried.

    Args:
        background: of which the images alone are used, as photographs that no caption of the
            validation part describes.
        weights, shares: to choose from, ascending.
    Returns: `names_weight`: the one with the best mean text-to-image recall at 1, 5 and 10;
        `hubness_share`: the smallest whose mean image-to-text recall is within one standard error
        of the best; `tried`: rows of both.
    Source: Breiman et al. 1984, section 3.4.3 (the one-standard-error rule).
    """
    tried = []
    for weight in weights:
        recalls = retrieval_metrics_of(validation.similarity(weight), validation.owner)
        tried.append({"names_weight": weight, "hubness_share": 0.0, **_means(recalls)})
    best = max(tried, key=lambda row: row["t2i"])["names_weight"]
    similarity = validation.similarity(best)
    drawn = hubness(logit_scale * validation.similarity(best, background).T) / logit_scale  # (M,)
    by_share = []
    for share in shares:
        recalls = retrieval_metrics_of(similarity - share * drawn[:, None], validation.owner)
        by_share.append({"names_weight": best, "hubness_share": share, **_means(recalls)})
    top = max(row["i2t"] for row in by_share)
    error = float(np.sqrt(top * (1.0 - top) / similarity.shape[1]))
    share = next(row["hubness_share"] for row in by_share if row["i2t"] >= top - error)
    return {
        "names_weight": best,
        "hubness_share": share,
        "standard_error": error,
        "tried": [*tried, *by_share],
    }


def _means(recalls: dict[str, dict[str, float]]) -> dict[str, float]:
    return {way: float(np.mean(list(values.values()))) for way, values in recalls.items()}
