from __future__ import annotations

import dataclasses

import plotly.graph_objects as go
import pytest

from sports_clip_pipeline.evaluation.ledger import Look, record_look
from sports_clip_pipeline.reporting import page
from sports_clip_pipeline.reporting.judged_page import compose_judged, looks_sentence, paragraphs
from sports_clip_pipeline.reporting.judgement import JUDGED, Judgement
from tests.reporting.study import make_judged_results, make_results

FIGURES = ("paired_figure", "inference_cost_figure", "ablation_figure", "class_gains_figure",
           "reliability_figure")  # fmt: skip


@pytest.fixture(scope="module")
def results():
    return make_judged_results()


@pytest.fixture(scope="module")
def html(results) -> str:
    return page.compose_page(results)


def test_every_figure_of_the_judgement_stands_with_its_table(html):
    for name in FIGURES:
        block = html.split(f'<figure class="plot-block" id="{name}"')[1].split("</figure>")[0]
        assert "<table" in block


def test_every_section_is_there_and_linked(html):
    for name in ("zero-shot", "trust", "photographs"):
        assert f'<section id="{name}"' in html and f'href="#{name}"' in html
    for name in ("labels_needed", "transduction", "mislabelled", "label_queries"):
        assert f'id="{name}"' in html


def test_the_recommendation_has_a_paragraph_for_each_number_of_labels(html):
    assert html.split('<ul class="advice"')[1].split("</ul>")[0].count("<li>") == 2


def test_sentences_about_one_number_of_labels_stay_together():
    sentences = ["Without A.", "With 5 B.", "It is C.", "60 % D.", "70 % E.", "With 9 F."]

    assert paragraphs(sentences) == (
        "Without A.",
        "With 5 B. It is C.",
        "60 % D. 70 % E.",
        "With 9 F.",
    )
    assert paragraphs(["A.", "B."]) == ("A. B.",)
    assert paragraphs([]) == ()


def test_the_looks_at_the_evaluation_part_are_told(html):
    assert "looked at 3 times since 2026-01-31" in html


def test_photographs_to_look_at_are_pictures_with_texts(html, results):
    block = html.split('<section id="photographs"')[1].split("</section>")[0]

    assert block.count("<img") == results.config.label_issues + 12
    assert block.count('alt="Photograph') == block.count("<img")
    assert "24 of 30" in block


def test_a_whole_page_is_small_enough(html):
    assert len(html.encode()) < 6e6


def test_only_highlighted_methods_have_a_row_of_labels_needed(results):
    shown = compose_judged(results).needed

    assert len(shown.rows) == len(results.cast.first) - 2  # no row for the two pixel methods


def test_a_study_without_judgement_leaves_every_section_out():
    html = page.compose_page(make_results())

    for name in (*FIGURES, "zero-shot", "trust", "photographs", "labels_needed", "advice"):
        assert f'id="{name}"' not in html
        assert f'href="#{name}"' not in html


def test_each_part_may_be_missing_alone(results):
    for name in JUDGED:
        empty = dataclasses.replace(results.judged, **{name: getattr(Judgement(), name)})
        assert page.compose_page(dataclasses.replace(results, judged=empty))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_without_data_is_left_out(results, name):
    figures = {**results.figures, name: go.Figure()}

    html = page.compose_page(dataclasses.replace(results, figures=figures))

    assert f'id="{name}"' not in html


def test_looks_may_be_a_summary_the_ledger_or_nothing():
    look = Look("2026-01-31T12:00:00+00:00", "c", 1, ("a",), "p", "d", "a", 0.5)

    assert looks_sentence({"sentence": "Once."}) == "Once."
    assert "once since 2026-01-31" in looks_sentence(record_look([], look))
    assert looks_sentence({}) == looks_sentence([]) == ""
