from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sports_clip_pipeline.config.predict import PredictConfig
from sports_clip_pipeline.errors import UserFacingError


def test_the_committed_parameters_name_no_photographs() -> None:
    text = Path("conf/base/parameters_predict.yml").read_text()
    assert PredictConfig(**yaml.safe_load(text)["predict"]) == PredictConfig()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("images", 2024, "written ./2024"),
        ("maps", "yes", "true or false"),
        ("backend", "tpu", "one of auto, onnxruntime, torch"),
        ("workers", -1, "predict.workers"),
        ("max_megapixels", 1000, "predict.max_megapixels"),
    ],
)
def test_a_wrong_value_is_refused_by_its_full_name(name: str, value: object, told: str) -> None:
    with pytest.raises(UserFacingError, match=told):
        PredictConfig(**{name: value})  # type: ignore[arg-type]


def test_a_limit_is_in_megapixels() -> None:
    assert PredictConfig(max_megapixels=0.5).image_rules.max_pixels == 500_000
    assert PredictConfig(workers=3).processes == 3
