"""The nodes of end-to-end trials on a toy study."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from sports_clip_pipeline.clip import folder
from sports_clip_pipeline.clip.projections import Projections
from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.errors import DryRun
from sports_clip_pipeline.fewshot.study import StudyData
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.embed.config import TokenizeConfig
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
from sports_clip_pipeline.pipelines.finetune.nodes import (
    build_end_to_end_ensembles,
    fit_end_to_end_trials,
    select_end_to_end,
)
from tests.fewshot.end_to_end_factories import FAST, image_store, pretrained, prompts, toy_images
from tests.fewshot.factories import splits_of

BANK = ClassBank(
    templates="a photo of {}.",
    classes=[
        {"label": f"class {c}", "names": f"thing {c}", "sentences": f"It is {c}."} for c in range(3)
    ],
)
SEEN = image_preprocessing("lite0", 40, "full").to_dict()
ROW = {"name": "lite0", "width": 1280, "views": ["full"], "preprocessing": SEEN}
AUDIT = {"image_encoder": "lite0", "text_encoder": "minilm", "encoders": [ROW]}
PLAN = FAST.model_copy(update={"threads": 1, "fractions": (0.5, 1.0)})


class Recorder:
    """A tracker that stores what is logged."""

    def __init__(self) -> None:
        self.metrics: list[tuple[dict[str, float], int | None]] = []
        self.trials: list[tuple[Any, ...]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        self.metrics.append((metrics, step))

    def log_trial(self, *trial: Any) -> None:
        self.trials.append(trial)


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """18 development and 6 test images with the outputs of ingest and pretraining."""
    model = pretrained()
    projections = Projections(
        model.image_weight, model.image_bias, prompts().text_weight, np.log(model.logit_scale)
    )
    monkeypatch.setattr(folder, "read_projections", lambda path: projections)
    monkeypatch.setattr(folder, "read_image_encoder", lambda path: {})
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    images, target = toy_images(24)
    (tmp_path / "store").mkdir()
    splits = splits_of(target[:18])
    evaluation = pd.DataFrame(
        {
            "image": [f"{i}.jpg" for i in range(18, 24)],
            "label": [f"class {c}" for c in target[18:]],
            "split": "test",
            **{f"rank_seed_{seed}": -1 for seed in range(5)},
        }
    )
    return {
        "splits": pd.concat([splits, evaluation], ignore_index=True),
        "store": image_store(tmp_path / "store", images),
        "manifest": pd.DataFrame({"stored_sha256": [f"{i:064x}" for i in range(24)]}),
        "weights": {
            "weights": model.zero_shot_weights,
            "logit_scale": np.array([model.logit_scale], dtype=np.float32),
        },
    }


def run(
    tables: dict[str, Any], state: RunState, **finetune: Any
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    study = select_end_to_end(
        tables["splits"], tables["store"], tables["manifest"], tables["weights"], Path("clip"),
        AUDIT, BANK, TokenizeConfig(), PLAN, state,
    )  # fmt: skip
    config = FinetuneConfig(bootstrap_resamples=100, **finetune)
    scores = fit_end_to_end_trials(
        study, tables["splits"], tables["store"], tables["manifest"], AUDIT,
        BANK, config, PLAN, state,
    )  # fmt: skip
    features = np.zeros((18, 4), np.float32)
    data = StudyData(features, study.target, study.splits, study.start.pretrained)
    test_features = {"features": np.zeros((6, 4), np.float32), "groups": np.arange(6)}
    trials, curves, predictors, shipped = build_end_to_end_ensembles(
        scores, study, data, {}, test_features, config, state
    )
    assert not shipped, "no end-to-end ensemble was fitted"
    return trials, curves, predictors


def test_the_end_to_end_plan_trains_and_the_frozen_plan_reuses_its_trials(
    tables: dict[str, Any], tmp_path: Path
) -> None:
    state = RunState(tmp_path / "state")
    trials, curves, predictors = run(tables, state)
    assert len(trials) == len(curves) == 0 and not predictors
    assert not (tmp_path / "state/decoded").exists(), "no image is decoded"

    tracker = Recorder()
    state.attach(tracker)
    trained, curves, predictors = run(tables, state, plan="end_to_end")
    assert trained["fraction"].tolist() == [0.5, 1.0]
    assert trained["labels"].tolist() == [9, 18]
    assert not trained["reused"].any()
    assert curves["labels"].tolist() == [9, 18]
    made = {name: make() for name, make in predictors.items()}
    assert set(made) == {"full_imagenet-0.5-0", "full_imagenet-1-0"}
    assert all(one.encoder_weights and one.preprocessing.size == 40 for one in made.values())
    assert [(row["method"], row["fraction"], plan) for row, plan in tracker.trials] == [
        ("full_imagenet", 0.5, "end_to_end"), ("full_imagenet", 1.0, "end_to_end"),
    ]  # fmt: skip
    assert {(next(iter(m)), step) for m, step in tracker.metrics} == {
        (f"pixels/full_imagenet/{fraction}/0/held_out_loss", 4) for fraction in ("0.5", "1")
    }

    shown, _, predictors = run(tables, state)
    pd.testing.assert_frame_equal(shown.drop(columns="reused"), trained.drop(columns="reused"))
    assert shown["reused"].all()
    assert set(predictors) == set(made)


def test_a_dry_run_prints_the_plan_and_trains_nothing(tables: dict[str, Any]) -> None:
    state = RunState()
    with pytest.raises(DryRun, match=r"full_imagenet .* 2 trials"):
        run(tables, state, plan="end_to_end", dry_run=True)
    assert not state._states


def test_training_images_hold_no_test_image(tables: dict[str, Any]) -> None:
    study = select_end_to_end(
        tables["splits"], tables["store"], tables["manifest"], tables["weights"], Path("clip"),
        AUDIT, BANK, TokenizeConfig(), PLAN, RunState(),
    )  # fmt: skip
    assert study.images.rows.tolist() == list(range(18))
    assert set(study.splits["split"]) == {"development"}
    assert study.start.prompts.class_index.tolist() == [0, 0, 1, 1, 2, 2]
