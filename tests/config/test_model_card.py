from __future__ import annotations

import pytest

from sports_clip_pipeline.config.model_card import CorpusFacts, ModelCardConfig
from sports_clip_pipeline.errors import UserFacingError

WORDS = {"intended_use": ["To measure."], "not_for": ["Harm."], "limits": ["Video."]}
CORPUS = {"name": "A", "licence": "Free\n  to use."}


def test_sentences_and_licences_are_put_on_one_line():
    config = ModelCardConfig(
        **{**WORDS, "limits": ["Not\n measured."]},
        corpora={"mine": {"flickr8k": CORPUS, "sports": CORPUS}},
    )

    assert config.limits == ("Not measured.",)
    assert config.corpora["mine"]["sports"] == CorpusFacts("A", "Free to use.")


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"limits": "Video."}, "model_card.limits"),
        ({"not_for": [""]}, "model_card.not_for"),
        ({"intended_use": [3]}, "model_card.intended_use"),
        ({"corpora": []}, "model_card.corpora"),
        ({"corpora": {"mine": {"sports": CORPUS}}}, "model_card.corpora.mine"),
        (
            {"corpora": {"mine": {"flickr8k": CORPUS, "sports": {"name": "A"}}}},
            "model_card.corpora.mine.sports",
        ),
    ],
)
def test_what_the_card_cannot_say_is_refused_by_name(change, parameter):
    with pytest.raises(UserFacingError, match=f"parameter {parameter}: "):
        ModelCardConfig(**{**WORDS, **change})
