"""Numbers of published implementations, on inputs drawn from a seed.

`data/published_cases.json` holds what the packages named in it returned for these inputs.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.evaluation.bootstrap import holm, mcnemar_p
from sports_clip_pipeline.evaluation.calibration import expected_calibration_error
from sports_clip_pipeline.evaluation.metrics import retrieval_metrics

PATH = Path(__file__).parent / "data" / "published_cases.json"
CASES = json.loads(PATH.read_text())
RNG = np.random.default_rng(2024)
IMAGES, CAPTIONS = 30, 80
IMAGE_EMB = RNG.normal(size=(IMAGES, 8))
IMAGE_INDEX = RNG.permutation(np.append(np.arange(IMAGES), RNG.integers(0, IMAGES, 50)))
TEXT_EMB = IMAGE_EMB[IMAGE_INDEX] + 1.5 * RNG.normal(size=(CAPTIONS, 8))
TABLES = ((0, 1), (3, 3), (1, 9), (12, 25), (140, 98))
P_VALUES = np.append(RNG.random(9) ** 6, [0.01, 0.01])
LOGITS = 2.0 * RNG.normal(size=(400, 5))
TRUTH = np.where(RNG.random(400) < 0.6, LOGITS.argmax(axis=1), RNG.integers(0, 5, 400))
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("way", ["t2i", "i2t"])
def test_recalls_are_those_of_clip_benchmark(way: str) -> None:
    found = retrieval_metrics(IMAGE_EMB, TEXT_EMB, IMAGE_INDEX)[way]
    assert found == pytest.approx(CASES["recall_at_k"][way], abs=1e-6)
    assert 0.0 < found["r1"] < found["r5"] < found["r10"] < 1.0


def test_mcnemars_exact_p_values_are_those_of_statsmodels() -> None:
    np.testing.assert_allclose(
        [mcnemar_p(*counts) for counts in TABLES], CASES["mcnemar"]["p"], rtol=1e-9
    )


def test_holms_p_values_are_those_of_statsmodels() -> None:
    np.testing.assert_allclose(holm(P_VALUES), CASES["holm"]["p"], rtol=1e-9)


@pytest.mark.parametrize("bins", [10, 15])
def test_the_calibration_error_is_that_of_torchmetrics(bins: int) -> None:
    correct = PROBABILITIES.argmax(axis=1) == TRUTH
    found = expected_calibration_error(PROBABILITIES.max(axis=1), correct, bins, "equal_width")
    assert found == pytest.approx(CASES["calibration_error"][str(bins)], abs=1e-6)
