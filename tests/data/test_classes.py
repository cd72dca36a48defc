from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sports_clip_pipeline.data.classes import ClassBank
from sports_clip_pipeline.errors import UserFacingError

CONF = Path(__file__).resolve().parents[2] / "conf"
TENNIS = {
    "label": "tennis",
    "names": ["tennis", "a tennis match"],
    "sentences": ["A man swings a racket."],
}


def bank(**changes: object) -> ClassBank:
    block = {"templates": ["a photo of {}."], "classes": [TENNIS, {"label": "go", "names": "go"}]}
    return ClassBank(**{**block, **changes})


def committed(env: str) -> ClassBank:
    text = (CONF / env / "parameters_class_bank.yml").read_text()
    return ClassBank(**yaml.safe_load(text)["class_bank"])


def test_prompts_are_templates_times_names_then_sentences() -> None:
    two = bank(templates=["a photo of {}.", "{} outside."])
    assert two.prompts("tennis") == (
        "a photo of tennis.",
        "a photo of a tennis match.",
        "tennis outside.",
        "a tennis match outside.",
        "A man swings a racket.",
    )


def test_labels_keep_the_order_of_the_configuration() -> None:
    classes = [{"label": label, "names": label} for label in ("zebra", "ant", "mole")]
    assert bank(classes=classes).labels == ("zebra", "ant", "mole")


def test_a_class_without_sentences_has_its_templates_alone() -> None:
    assert bank().prompts("go") == ("a photo of go.",)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"templates": ["a photo."]}, "'a photo.'"),
        ({"templates": ["{} and {}"]}, "'{} and {}'"),
        ({"templates": ["a {sport}"]}, "'a {sport}'"),
        ({"templates": []}, "class_bank.templates"),
        ({"templates": ["{}", "{}"]}, "class_bank.templates"),
        ({"classes": []}, "class_bank.classes"),
        ({"classes": ["tennis"]}, "'tennis'"),
        ({"classes": [{"label": "tennis", "names": []}]}, "class_bank.classes.0.names"),
        ({"classes": [{"label": "tennis", "sentences": ["x"]}]}, "class_bank.classes.0.names"),
        ({"classes": [{"label": "a", "names": ["a"], "prompts": ["b"]}]}, "prompts"),
        ({"classes": [{"label": "tennis", "names": ["a", " "]}]}, "class_bank.classes.0.names"),
        ({"classes": [{**TENNIS, "label": 1}]}, "quotes), got 1"),
        ({"classes": [{**TENNIS, "label": True}]}, "quotes), got True"),
        ({"classes": [{**TENNIS, "label": "tennis "}]}, "'tennis '"),
        (
            {"classes": [{"label": "Tennis", "names": "a"}, {"label": "tennis", "names": "b"}]},
            "'tennis'",
        ),
        (
            {"classes": [{"label": "a", "names": "Ball"}, {"label": "b", "names": "ball"}]},
            "names of its own for b",
        ),
    ],
)
def test_a_wrong_block_is_refused_with_its_place_and_value(
    changes: dict[str, object], named: str
) -> None:
    with pytest.raises(UserFacingError) as refused:
        bank(**changes)
    assert "class_bank" in str(refused.value)
    assert named in str(refused.value)


def test_the_real_bank_describes_every_sport_of_the_published_set() -> None:
    real = committed("real")
    assert len(real.labels) == 22
    assert list(real.labels) == sorted(real.labels)
    assert all(6 <= len(real.sentences(label)) <= 10 for label in real.labels)


def test_the_sample_speaks_of_the_real_classes_in_the_same_words() -> None:
    sample, real = committed("base"), committed("real")
    assert set(sample.labels) < set(real.labels)
    assert sample.templates == real.templates
    assert set(sample.classes) <= set(real.classes)


def test_a_study_of_one_class_is_refused_though_a_bank_may_hold_one():
    alone = ClassBank(templates="a photo of {}.", classes=[TENNIS])
    with pytest.raises(UserFacingError, match=r"two classes or more, got \['tennis'\]"):
        alone.require_two()
