from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sports_clip_pipeline.config.transduction import TRANSDUCTIONS, TransductionConfig
from sports_clip_pipeline.errors import UserFacingError

ROOT = Path(__file__).parents[2]


def test_the_shipped_block_is_the_default() -> None:
    text = (ROOT / "conf/base/parameters_zero_shot.yml").read_text()
    assert TransductionConfig(**yaml.safe_load(text)["transduction"]) == TransductionConfig()


def test_methods_may_be_written_with_a_plus() -> None:
    assert TransductionConfig(methods="gda_em+soft_k_means").methods == ("gda_em", "soft_k_means")
    assert TransductionConfig().methods == TRANSDUCTIONS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["tarot"]}, r"transduction\.methods.*one of.*'tarot'"),
        ({"methods": ["gda_em", "gda_em"]}, r"transduction\.methods.*no name twice"),
        ({"shrinkage": 1.5}, r"transduction\.shrinkage.*in \[0\.0, 1\.0\], got 1\.5"),
        ({"pull": -1}, r"transduction\.pull.*got -1"),
        ({"iterations": 0}, r"transduction\.iterations.*a whole number"),
        ({"balance_rounds": 2.5}, r"transduction\.balance_rounds.*a whole number"),
    ],
)
def test_wrong_values_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserFacingError, match=message):
        TransductionConfig(**change)
