"""The parts of the page that judge the study, beside its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sports_clip_pipeline.evaluation.explanations import answers_mark
from sports_clip_pipeline.evaluation.ledger import summarise_looks
from sports_clip_pipeline.reporting import judged_tables as tables
from sports_clip_pipeline.reporting.blocks import DataTable
from sports_clip_pipeline.reporting.explanations import explanations_table
from sports_clip_pipeline.reporting.results import StudyResults
from sports_clip_pipeline.reporting.suspects import Suspect, mislabelled_suspects, next_suspects


@dataclass(frozen=True)
class JudgedParts:
    """What there is to say; what is empty is left out.

    Attributes:
        advice: the recommendation, paragraph by paragraph.
        needed, needed_all: labels needed, of the highlighted methods and of all.
        pairs: classes taken for each other.
        transduction: zero-shot with unlabelled photographs.
        mislabelled, label_queries: photographs to look at.
        suspected: how many are likely mislabelled altogether.
        explanations: whether the maps can be trusted, by method.
        untrusted: the methods that do not beat the floors, a sentence each.
        outdated: whether the maps were measured on another classifier than the report's.
        looks: how often the evaluation photographs were looked at.
    """

    advice: tuple[str, ...] = ()
    needed: DataTable | None = None
    needed_all: DataTable | None = None
    pairs: DataTable | None = None
    transduction: DataTable | None = None
    mislabelled: tuple[Suspect, ...] = ()
    label_queries: tuple[Suspect, ...] = ()
    suspected: int = 0
    explanations: DataTable | None = None
    untrusted: tuple[str, ...] = ()
    outdated: bool = False
    looks: str = ""


def compose_judged(results: StudyResults) -> JudgedParts:
    """Tables, photographs and sentences of the judgement."""
    judged, config, called = results.judged, results.config, results.called
    needed, pairs, prior = judged.labels_needed, judged.confusion_pairs, judged.transduction
    wrong, pictures = judged.mislabelled, judged.thumbnails
    maps = judged.cam_eval_verdicts
    most, soon = config.label_issues, config.queried_images
    return JudgedParts(
        advice=paragraphs(judged.recommendation.get("sentences", ())),
        needed=None if needed.empty else tables.needed_table(needed, results.cast.first, called),
        needed_all=None if needed.empty else tables.every_needed_table(needed, called),
        pairs=None if pairs.empty else tables.pairs_table(pairs, config.confused_pairs),
        transduction=None if prior.empty else tables.transduction_table(prior, called),
        mislabelled=mislabelled_suspects(wrong, pictures, most),
        label_queries=next_suspects(judged.label_queries, pictures, soon),
        suspected=len(wrong),
        explanations=None if maps.empty else explanations_table(maps),
        untrusted=() if maps.empty else tuple(maps.loc[~maps["beats_floors"], "sentence"]),
        outdated=not maps.empty and _of_others(maps, results.test_predictions),
        looks=looks_sentence(judged.ledger),
    )


def _of_others(verdicts: pd.DataFrame, predictions: pd.DataFrame) -> bool:
    return bool((verdicts["answers"] != answers_mark(predictions)).any())


def paragraphs(sentences: Sequence[str]) -> tuple[str, ...]:
    """Sentences put together: one paragraph a number of labels, then one of accuracies to reach.

    A paragraph begins with "With…", or with the first sentence that begins with a number.

    >>> paragraphs(["Without A.", "With 5 B.", "It is C.", "60 % D.", "70 % E."])
    ('Without A.', 'With 5 B. It is C.', '60 % D. 70 % E.')
    """
    found: list[list[str]] = []
    for sentence in sentences:
        begins = sentence.startswith("With") or (
            sentence[:1].isdigit() and not (found and found[-1][0][:1].isdigit())
        )
        if begins or not found:
            found.append([])
        found[-1].append(sentence)
    return tuple(" ".join(parts) for parts in found)


def looks_sentence(ledger: Sequence[dict[str, Any]] | Mapping[str, Any]) -> str:
    """How often the evaluation photographs were looked at; empty where nobody counted.

    Args:
        ledger: its summary, with `sentence`; or the looks themselves, as `record_look` gives them.
    """
    if not ledger:
        return ""
    summary = ledger if isinstance(ledger, Mapping) else summarise_looks(ledger)
    return str(summary["sentence"])
