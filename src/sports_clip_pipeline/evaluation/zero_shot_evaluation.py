"""Zero-shot classification as a table, its ablation, and the choice of its hyper-parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from sports_clip_pipeline.clip.zero_shot import ZeroShotScores, hubness
from sports_clip_pipeline.evaluation.bootstrap import Bootstrap
from sports_clip_pipeline.evaluation.metrics import (
    classification_report,
    macro_f1,
    retrieval_metrics_of,
)
from sports_clip_pipeline.predictor.head import softmax


def zero_shot_table(
    logits: np.ndarray, manifest: pd.DataFrame, splits: pd.DataFrame, labels: Sequence[str]
) -> pd.DataFrame:
    """Zero-shot probabilities of every image.

    Args:
        logits: (N, C) in manifest order, in the order of `labels`.
        splits: `image`, `split`, `label`.
    Returns: `image`, `split`, `label`, `predicted`, `probability`, `probabilities`; in the order
        of `splits`.
    Source: Radford et al. 2021, section 3.1.
    """
    row_of = pd.Series(np.arange(len(manifest)), index=manifest["image"])
    probabilities = softmax(logits[row_of.loc[splits["image"]].to_numpy()])  # (N, C)
    table = splits[["image", "split", "label"]].reset_index(drop=True)
    return table.assign(
        predicted=np.asarray(labels, dtype=object)[probabilities.argmax(axis=1)],
        probability=probabilities.max(axis=1),
        probabilities=list(probabilities.astype(np.float32)),
    )


def score_table(
    predictions: pd.DataFrame, labels: Sequence[str], bootstrap: Bootstrap
) -> dict[str, Any]:
    """`classification_report` of a predictions table on the test images, with `top1_ci95`."""
    target = evaluation_target(predictions, labels)
    probabilities = evaluation_probabilities(predictions).astype(np.float64)
    report = classification_report(probabilities, target, labels)
    _, *interval = _accuracy(probabilities.argmax(axis=1), target, bootstrap)
    return {**report, "top1_ci95": interval}


def ablation_table(
    scores: ZeroShotScores,
    weights: Mapping[str, np.ndarray],
    choice: Mapping[str, Any],
    features: np.ndarray,
    target: np.ndarray,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Ablation of zero-shot classification: each variant adds something to the one before.

    Args:
        weights: `weights.names`, `weights.sentences` and `weights.both` of `zero_shot_weights`.
        choice: `names_weight`, `class_bias` and `hubness_share` that were chosen.
        features: (N, ΣD) of the test images. target: (N,) int, their classes.
    Returns: `name`, `top1`, `low`, `high`, `macro_f1`, `changed`, and `chosen_on` (where the
        settings come from); one row a variant.
    """
    weight, bias = choice["names_weight"], np.asarray(choice["class_bias"])
    held_out = "validation captions"
    variants = [
        (name, changed, "fixed beforehand", replace(scores, weights=weights[key]).head())
        for name, key, changed in (
            ("names", "weights.names", "class names in templates"),
            ("sentences", "weights.sentences", "sentences that describe each class"),
            ("names and sentences", "weights.both", "mean of both"),
        )
    ]
    if scores.conse:
        changed = f"the image encoder's ImageNet class names, with weight {weight:g}"
        variants.append(("with ImageNet names", changed, held_out, scores.head(weight)))
    changed = f"{choice['hubness_share']:g} of each class's hubness on other images subtracted"
    variants.append(("hubness corrected", changed, held_out, scores.head(weight, bias)))
    rows = []
    for name, changed, chosen_on, head in variants:
        predicted = head(features).argmax(axis=1)
        f1 = macro_f1(predicted, target, len(scores.weights))
        accuracy = _accuracy(predicted, target, bootstrap)
        rows.append((name, *accuracy, f1, changed, chosen_on))
    columns = ["name", "top1", "low", "high", "macro_f1", "changed", "chosen_on"]
    return pd.DataFrame(rows, columns=columns)


def _accuracy(
    predicted: np.ndarray, target: np.ndarray, bootstrap: Bootstrap
) -> tuple[float, float, float]:
    correct = predicted == target
    return float(correct.mean()), *bootstrap.interval(correct[None, :])


def transduction_table(
    predictions: Sequence[tuple[str, str, np.ndarray, str]],
    target: np.ndarray,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Accuracy of transductive zero-shot methods, which use unlabelled images.

    Args:
        predictions: method, the split whose images it used, its logits or probabilities (N, C) of
            the test images, and the class prior that it assumed.
    Returns: `method`, `split`, `top1`, `low`, `high`, `prior`; in the order given.
    """
    rows = [
        (method, split, *_accuracy(values.argmax(axis=1), target, bootstrap), prior)
        for method, split, values, prior in predictions
    ]
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
    """Classes of the test images, (N,) int64, in the order of the splits."""
    return encode_labels(splits.loc[splits["split"] == "test", "label"], labels)


def evaluation_bootstrap(splits: pd.DataFrame, resamples: int, seed: int = 0) -> Bootstrap:
    """Bootstrap of means over the test images, whose duplicate groups are column `group`."""
    return Bootstrap(resamples, seed, splits.loc[splits["split"] == "test", "group"].to_numpy())


def evaluation_probabilities(predictions: pd.DataFrame) -> np.ndarray:
    """Zero-shot probabilities (N, C) of the test images, in the order of the splits."""
    rows = predictions["split"] == "test"
    return np.stack(predictions.loc[rows, "probabilities"].to_list())


@dataclass(frozen=True)
class PairEmbeddings:
    """Embeddings of captioned images, by CLIP and by ImageNet class names; rows have unit norm.

    Attributes:
        image_emb: (N, P) by CLIP. image_names: (N, E), descriptions by ImageNet class names.
        text_emb: (M, P) by CLIP. text_names: (M, E) by the text encoder alone.
        image_index: (M,) int; the image that caption m describes.
    """

    image_emb: np.ndarray
    image_names: np.ndarray
    text_emb: np.ndarray
    text_names: np.ndarray
    image_index: np.ndarray

    def similarity(self, weight: float, images: Self | None = None) -> np.ndarray:
        """(M, N) of every caption with every image, of its own or of others."""
        others = images or self
        clip = self.text_emb @ others.image_emb.T
        return clip + np.float32(weight) * (self.text_names @ others.image_names.T)


def choose_zero_shot_settings(
    validation: PairEmbeddings,
    background: PairEmbeddings,
    logit_scale: float,
    weights: Sequence[float],
    shares: Sequence[float],
) -> dict[str, Any]:
    """Choose the weight of ImageNet names and the share of hubness to subtract, by recall.

    Args:
        background: of which the images alone are used, as images that no validation caption
            describes.
        weights, shares: to choose from, ascending.
    Returns: `names_weight`: the one with the best mean text-to-image recall at 1, 5 and 10;
        `hubness_share`: the smallest whose mean image-to-text recall is within one standard error
        of the best; `standard_error`; `tried`: rows of both searches.
    Source: Breiman et al. 1984, section 3.4.3 (the one-standard-error rule).
    """

    def recalls(weight: float, share: float, similarity: np.ndarray) -> dict[str, float]:
        metrics = retrieval_metrics_of(similarity, validation.image_index)
        means = {way: float(np.mean(list(values.values()))) for way, values in metrics.items()}
        return {"names_weight": weight, "hubness_share": share, **means}

    by_weight = [recalls(weight, 0.0, validation.similarity(weight)) for weight in weights]
    best = max(by_weight, key=lambda row: row["t2i"])["names_weight"]
    similarity = validation.similarity(best)
    hubs = hubness(logit_scale * validation.similarity(best, background).T) / logit_scale  # (M,)
    by_share = [recalls(best, share, similarity - share * hubs[:, None]) for share in shares]
    top = max(row["i2t"] for row in by_share)
    error = float(np.sqrt(top * (1.0 - top) / similarity.shape[1]))
    share = next(row["hubness_share"] for row in by_share if row["i2t"] >= top - error)
    return {
        "names_weight": best,
        "hubness_share": share,
        "standard_error": error,
        "tried": [*by_weight, *by_share],
    }
