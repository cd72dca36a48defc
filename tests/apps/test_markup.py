from __future__ import annotations

from types import SimpleNamespace

from sports_clip_pipeline.apps.demo_page import SHOWN, answers_html, error_html
from sports_clip_pipeline.apps.demo_study import Answer, Answers, Map

NAMES = tuple(f"name_{n}" for n in range(SHOWN + 2))


STUDY = SimpleNamespace(
    bank=SimpleNamespace(labels=NAMES),
    finetuned=SimpleNamespace(origin={"labels": 1234, "fraction": 0.25}),
)


def ranked(*names: str) -> tuple[tuple[str, float], ...]:
    shares = [2.0 ** -(n + 1) for n in range(len(names))]
    return tuple(zip(names, shares, strict=True))


def page(first: Answer) -> str:
    second = Answer(ranked(*NAMES), Map(NAMES[0], "GradCAM", b"jpeg"))
    return answers_html(Answers(first, second, 0.1), STUDY)


def test_what_was_typed_is_shown_and_never_run() -> None:
    typed = '<img src=x onerror="alert(1)">'
    shown = page(Answer(ranked(typed, 'a "b" & c'), Map(typed, "GradCAM", b"jpeg")))
    assert "<img src=x" not in shown and 'onerror="' not in shown
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;" in shown
    assert "a &quot;b&quot; &amp; c" in shown
    assert "<script" not in error_html("<script>x</script>")


def test_the_first_names_are_shown_and_the_rest_folded() -> None:
    shown = page(Answer(ranked("tennis", "chess"), None, "There is no map: a sentence."))
    zero_shot, finetuned = shown.split('aria-label="Fine-tuned"')
    assert "details" not in zero_shot and "There is no map: a sentence." in zero_shot
    assert "<summary>2 more names</summary>" in finetuned
    assert finetuned.count('<tr><th scope="row"') == len(NAMES)
    assert "1,234 labels (25\u00a0%); 7 classes of the study alone" in finetuned
    assert 'style="width:50.0%"' in finetuned and "50.0\u00a0%" in finetuned
    assert "name 0" in finetuned and "name_0" not in finetuned
