"""What gradio has no component for, as HTML. Whatever was typed is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from sports_clip_pipeline.demo.answers import Answer, Answers, Map
from sports_clip_pipeline.demo.study import FinishedStudy
from sports_clip_pipeline.report.formatting import class_name, count, fraction_name, percent

SHOWN = 5


def head(study: FinishedStudy) -> str:
    """Title and one sentence."""
    classes = count(len(study.bank.labels))
    return (
        "<header><h1>Two answers to one photograph</h1>"
        f"<p>Study <b>{html.escape(study.name)}</b>, {classes} classes. Zero-shot compares the "
        "photograph with the class names that you type. The fine-tuned classifier has learned the "
        "study’s own classes. Everything is computed on this machine.</p></header>"
    )


def waiting() -> str:
    """What stands in the place of answers before there are any."""
    return '<p class="waiting">Drop a photograph, or choose one of those below it.</p>'


def refusal(sentence: str) -> str:
    """A sentence in the place of the answers."""
    return f'<p class="refusal" role="alert">{html.escape(sentence)}</p>'


def answers(given: Answers, study: FinishedStudy) -> str:
    """Both answers, side by side where there is room."""
    known = f"{count(len(study.bank.labels))} classes of the study"
    return (
        '<div class="answers">'
        + _answer("Zero-shot", "no labels, any class names", given.zero_shot)
        + _answer("Fine-tuned", f"{made_of(study)}; {known} alone", given.finetuned)
        + "</div>"
    )


def made_of(study: FinishedStudy) -> str:
    """How many labels the fine-tuned classifier has seen."""
    origin = study.finetuned.origin
    labels, fraction = origin.get("labels"), origin.get("fraction")
    if labels is None or fraction is None:
        return "labels of the study"
    return f"{count(labels)} labels ({fraction_name(fraction)})"


def _answer(title: str, about: str, answer: Answer) -> str:
    name, probability = answer.ranked[0]
    return (
        f'<section class="answer" aria-label="{title}">'
        f'<h2>{title}</h2><p class="about">{html.escape(about)}</p>'
        f'<p class="says"><strong>{_shown(name)}</strong> <span>{percent(probability)}</span></p>'
        f"{_table(title, answer.ranked[:SHOWN])}{_rest(title, answer.ranked[SHOWN:])}"
        f"{_figure(answer)}</section>"
    )


def _table(title: str, rows: Sequence[tuple[str, float]]) -> str:
    return (
        f'<table><caption class="unseen">{title}: probabilities</caption>'
        '<thead class="unseen"><tr><th scope="col">Class</th><th scope="col">Probability</th></tr>'
        f"</thead><tbody>{''.join(_row(*row) for row in rows)}</tbody></table>"
    )


def _row(name: str, probability: float) -> str:
    return (
        f'<tr><th scope="row">{_shown(name)}</th><td><i style="width:{100 * probability:.1f}%">'
        f"</i><span>{percent(probability)}</span></td></tr>"
    )


def _rest(title: str, rows: Sequence[tuple[str, float]]) -> str:
    if not rows:
        return ""
    names = "name" if len(rows) == 1 else "names"
    return f"<details><summary>{len(rows)} more {names}</summary>{_table(title, rows)}</details>"


def _figure(answer: Answer) -> str:
    if answer.map is None:
        return f'<p class="note">{html.escape(answer.no_map)}</p>'
    return (
        f'<figure><img src="{_data(answer.map)}" alt="Class activation map of the photograph for '
        f'{_shown(answer.map.name)}"><figcaption>{html.escape(answer.map.method)}: bright places '
        f"speak for “{_shown(answer.map.name)}”.</figcaption></figure>"
    )


def _data(map_: Map) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(map_.jpeg).decode('ascii')}"


def _shown(name: str) -> str:
    return html.escape(class_name(name))
