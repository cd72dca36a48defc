from __future__ import annotations

import pytest

from sports_clip_pipeline.config.report import Reference, ReportConfig
from sports_clip_pipeline.errors import UserFacingError

ENTRY = {"measure": "zero_shot_top1", "label": "A notebook", "value": 0.35, "note": "Other files."}


def test_mappings_become_references():
    config = ReportConfig(study="s", reference=[ENTRY])

    assert config.reference == (Reference("zero_shot_top1", "A notebook", 0.35, "Other files."),)


def test_lists_may_be_written_with_plus():
    assert ReportConfig(study="s", packages="torch+numpy").packages == ("torch", "numpy")


def test_a_study_may_have_no_baselines():
    assert ReportConfig(study="s", baselines=[]).baselines == ()


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"value": 35.0}, "report.reference.value"),
        ({"measure": "top7"}, "report.reference.measure"),
        ({"note": " "}, "report.reference.note"),
    ],
)
def test_a_wrong_reference_is_named(change, parameter):
    with pytest.raises(UserFacingError, match=parameter):
        ReportConfig(study="s", reference=[ENTRY | change])


@pytest.mark.parametrize("reference", [[{"measure": "zero_shot_top1"}], ["0.35"], "0.35"])
def test_a_reference_wants_all_its_keys(reference):
    with pytest.raises(UserFacingError, match=r"report\.reference"):
        ReportConfig(study="s", reference=reference)


@pytest.mark.parametrize(
    "change",
    [
        {"study": ""},
        {"gallery_photographs": -1},
        {"gallery_photographs": 2.5},
        {"highlighted": 0},
        {"mislabelled_photographs": -1},
        {"label_next_photographs": 1.5},
        {"thumbnail_px": 8},
        {"confused_pairs": 0},
        {"max_page_mb": 0},
        {"methods": ["logreg_tower"]},
        {"methods": {"logreg_tower": 3}},
    ],
)
def test_values_out_of_range_are_refused_by_name(change):
    (name,) = change
    with pytest.raises(UserFacingError, match=rf"report\.{name}"):
        ReportConfig(**{"study": "s", **change})
