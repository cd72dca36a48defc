"""What a sceptic asks of the study: leaks, and dependence on what must not matter.

Every registered method on synthetic images. Random draws of a fit depend on the seed and on the
positions of rows and classes: folds, batches, k-means centres, first weights of the MLP. Where a
test moves rows or classes, images keep their folds, batches are whole, all rows are keys, and the
last layer of the MLP starts equal for all classes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sports_clip_pipeline.clip import folder
from sports_clip_pipeline.clip.projections import Pretrained, Projections, unit_norm
from sports_clip_pipeline.data.class_bank import ClassBank
from sports_clip_pipeline.data.splits import make_splits
from sports_clip_pipeline.evaluation import bootstrap
from sports_clip_pipeline.fewshot import study
from sports_clip_pipeline.fewshot.base import METHODS, Fit, Labelled, Task
from sports_clip_pipeline.fewshot.study import StudyData, run_study
from sports_clip_pipeline.fewshot.trial import TrialKey
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.pipelines.finetune.config import FinetuneConfig
from sports_clip_pipeline.pipelines.finetune.nodes import select_development
from sports_clip_pipeline.predictor.head import softmax

Corpus = tuple[pd.DataFrame, dict[str, np.ndarray]]
CLASSES, WIDTHS, SPACE, SCALE, IMAGES = 5, (14, 8), 14, 10.0, 150
LABELS = [f"class {c}" for c in range(CLASSES)]
BANK = ClassBank(
    templates="{}", classes=[{"label": x, "names": x, "sentences": f"{x}."} for x in LABELS]
)
CONFIG = FinetuneConfig(
    methods={
        "notebook_mlp": {"steps": [30]},
        "tip_adapter_f": {"steps": [10]}, "tip_adapter_f_clip": {"steps": [10]},
    },
    select=tuple(METHODS), fractions=(0.5,), seeds=1, folds=3, workers=1,
)  # fmt: skip
SUBSET = TrialKey("", 0.5, 0)
# Methods that draw random numbers, and settings under which each of their draws matters.
STOCHASTIC = {
    "notebook_mlp": {"steps": [30]},
    "tip_adapter": {"keys_per_class": 3}, "tip_adapter_clip": {"keys_per_class": 3},
    **{name: {"steps": [10], "batch_size": 16} for name in ("tip_adapter_f", "tip_adapter_f_clip")},
}  # fmt: skip


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative features (N, D) of two encoders, in which the classes overlap, and classes."""
    rng = np.random.default_rng(seed)
    target = np.arange(IMAGES, dtype=np.int64) % CLASSES
    features = np.abs(rng.normal(0, 0.7, (IMAGES, sum(WIDTHS))))
    for start in (0, WIDTHS[0]):
        features[np.arange(IMAGES), start + target] += 1.0
    return features.astype(np.float32), target


TEST, TEST_TARGET = draw(seed=1)


def top1(fit: Fit) -> float:
    return float((fit.head(TEST).argmax(axis=1) == TEST_TARGET).mean())


def pretrained(text_noise: float = 0.1, seed: int = 3) -> Pretrained:
    """A projection, and texts beside the classes' directions; of no meaning with much noise."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, 0.25, (SPACE, WIDTHS[0])).astype(np.float32)
    text = unit_norm(weight[:, :CLASSES].T + rng.normal(0, text_noise, (CLASSES, SPACE)))
    return Pretrained(text.astype(np.float32), SCALE, weight, np.zeros(SPACE, np.float32), WIDTHS)


def manifest() -> pd.DataFrame:
    """Labelled images in pairs of duplicates, and a tenth without a label."""
    block, target = np.divmod(np.arange(IMAGES), CLASSES)
    rows = pd.DataFrame({"image": [f"{n:03}.jpg" for n in range(IMAGES)], "split": "train"})
    rows = rows.assign(label=np.array(LABELS)[target], group=block // 2 * CLASSES + target)
    rows.loc[rows.index[-IMAGES // 10 :], ["split", "label"]] = "test", None
    return rows


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    first, second = np.split(draw(seed=0)[0], [WIDTHS[0]], axis=1)
    return make_splits(manifest(), LABELS), {"features": first, "additional.second": second}


@pytest.fixture(scope="module", autouse=True)
def setting() -> Iterator[None]:
    """One core; the CLIP folder has the projections of `pretrained`."""
    weights = pretrained().image_weight, pretrained().image_bias, np.eye(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "cores", lambda: 1)
        patch.setattr(folder, "read_projections", lambda _: Projections(*weights, np.log(SCALE)))
        yield


def development(splits: pd.DataFrame, features: dict[str, np.ndarray]) -> StudyData:
    """The study's data, as the pipeline selects them."""
    text, head = pretrained().zero_shot_weights, pretrained().zero_shot_head()
    weights = {"weights": text, "logit_scale": np.array([SCALE])}
    return select_development(splits, features, weights, head, Path(), BANK)


def fits(data: StudyData) -> dict[str, Fit]:
    return {trial.key.method: trial.fit for trial in run_study(data, CONFIG, RunState())}


def fits_of(
    rows: Labelled, model: Pretrained, others: np.ndarray, seed: int = 0,
    names: Iterable[str] = METHODS, **settings: dict[str, Any],
) -> dict[str, Fit]:  # fmt: skip
    """Methods fitted on labelled rows, and on unlabelled features (U, D) if they take them."""
    config, found = CONFIG.model_copy(update={"methods": CONFIG.methods | settings}), {}
    for name in names:
        unlabelled = others if METHODS[name].unlabelled else None
        task = Task(rows, replace(model, space=METHODS[name].space), seed, unlabelled)
        found[name] = config.method(name).fit(task)
    return found


@pytest.fixture(scope="module")
def data(corpus: Corpus) -> StudyData:
    return development(*corpus)


@pytest.fixture(scope="module")
def whole(data: StudyData) -> dict[str, Fit]:
    return fits(data)


def bits(fit: Fit) -> tuple[Any, ...]:
    """All of a fit, comparable to the bit."""
    arrays = {"held_out": fit.held_out, **fit.head.to_arrays()}
    scores = fit.temperature, fit.cv_top1, fit.cv_log_loss, str(fit.hyperparameters)
    return scores, str(fit.head.describe()), {name: x.tobytes() for name, x in arrays.items()}


def assert_same(
    name: str, fit: Fit, former: Fit, rows: Any = slice(None), classes: Any = slice(None)
) -> None:
    """Equal but for float noise, amplified by searches that stop at a tolerance.

    `rows` are former positions of the labelled images, `classes` new numbers of the classes.
    """
    new, old = (softmax(one.head(TEST) / one.temperature) for one in (fit, former))
    held_out = fit.held_out[:, classes], former.held_out[rows]
    for one, two in ((new[:, classes], old), held_out):
        np.testing.assert_allclose(one, two, atol=1e-2, err_msg=name)
        assert np.nanmean(np.abs(one - two)) < 1e-3, name


class EqualClasses(nn.Linear):
    """A layer whose outputs, one a class, all start with the same weights."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.out_features == CLASSES:
            self.weight.data[:], self.bias.data[:] = self.weight.data[0], self.bias.data[0]


def test_shuffled_labels_and_meaningless_text_give_chance_for_every_method(
    data: StudyData, whole: dict[str, Fit]
) -> None:
    """With shuffled labels alone, text would still give the accuracy of zero-shot."""
    deviation = np.sqrt(0.2 * 0.8 / (6 * CLASSES))  # of the mean, if fits mix up whole classes
    rng, sums = np.random.default_rng(0), dict.fromkeys(METHODS, 0.0)
    for seed in range(6):
        text = pretrained(text_noise=100.0, seed=seed)
        shuffled = replace(data, target=rng.permutation(data.target), pretrained=text)
        for name, fit in fits(shuffled).items():
            sums[name] += top1(fit) / 6
    for name, mean in sums.items():
        assert abs(mean - 1 / CLASSES) < 3 * deviation, f"{name}: {mean}"
        assert top1(whole[name]) > 1 / CLASSES + 5 * deviation, "no leak could have been seen"


def test_the_test_split_changes_no_bit_of_any_fit(corpus: Corpus, whole: dict[str, Fit]) -> None:
    splits, features = corpus
    test = (splits["split"] == "test").to_numpy()
    rng, noise = np.random.default_rng(0), {name: x.copy() for name, x in features.items()}
    for values in noise.values():
        values[test] = rng.random(values[test].shape)
    relabelled = splits.assign(label=splits["label"].mask(test, rng.choice(LABELS, len(test))))
    kept = splits[~test].reset_index(drop=True), {name: x[~test] for name, x in features.items()}
    for changed in (kept, (relabelled, noise)):
        for name, fit in fits(development(*changed)).items():
            assert bits(fit) == bits(whole[name]), name


def test_the_order_of_images_changes_no_split_and_no_prediction(
    corpus: Corpus, data: StudyData, whole: dict[str, Fit]
) -> None:
    splits = make_splits(manifest().sample(frac=1.0, random_state=0), LABELS)
    pd.testing.assert_frame_equal(splits.sort_values("image", ignore_index=True), corpus[0])
    rows, others = data.labelled(SUBSET, CONFIG.folds), data.unlabelled(SUBSET)
    order = np.random.default_rng(0).permutation(len(rows.target))
    moved = Labelled(rows.features[order], rows.target[order], rows.fold[order], CLASSES)
    for name, fit in fits_of(moved, data.pretrained, others[::-1].copy()).items():
        assert_same(name, fit, whole[name], rows=order)


def test_renamed_classes_permute_the_predictions_and_change_nothing_else(
    data: StudyData, whole: dict[str, Fit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn, "Linear", EqualClasses)
    rows, others = data.labelled(SUBSET, CONFIG.folds), data.unlabelled(SUBSET)
    former = whole | fits_of(rows, data.pretrained, others, names=("notebook_mlp",))
    new = np.array([3, 0, 4, 1, 2])  # the new number of each class
    text = data.pretrained.zero_shot_weights[np.argsort(new)]
    model = replace(data.pretrained, zero_shot_weights=text, zero_shot=None)
    for name, fit in fits_of(replace(rows, target=new[rows.target]), model, others).items():
        assert_same(name, fit, former[name], classes=new)


def test_a_seed_draws_the_subset_and_what_stochastic_methods_declare(data: StudyData) -> None:
    assert len({tuple(data.labelled_rows(replace(SUBSET, seed=seed))) for seed in range(5)}) == 5
    rows, others = data.labelled(SUBSET, CONFIG.folds), data.unlabelled(SUBSET)
    zero, one = (fits_of(rows, data.pretrained, others, seed, **STOCHASTIC) for seed in (0, 1))
    np.random.seed(7)  # neither global generators nor the trials before have a part in a fit
    torch.manual_seed(7)
    for name in METHODS:
        again = fits_of(replace(rows), data.pretrained, others, 0, (name,), **STOCHASTIC)[name]
        assert bits(again) == bits(zero[name]), f"{name}: a draw that the seed does not fix"
        assert (bits(one[name]) == bits(zero[name])) == (name not in STOCHASTIC), name


def test_duplicates_in_a_group_change_no_interval() -> None:
    right = np.random.default_rng(0).random((3, 200)) < np.array([[0.6], [0.65], [0.7]])
    image, thrice, one_more = np.arange(200), np.arange(200).repeat(3), np.append(range(200), 17)
    for correct in (right, right[:1]):
        once = bootstrap.Bootstrap(groups=image).interval(correct)
        grouped = bootstrap.Bootstrap(groups=thrice).interval(correct[:, thrice])
        np.testing.assert_allclose(grouped, once, atol=1e-9)
    added = bootstrap.Bootstrap(groups=one_more).interval(correct[:, one_more])
    np.testing.assert_allclose(added, once, atol=0.01)
    apart = bootstrap.Bootstrap(groups=np.arange(600)).interval(correct[:, thrice])
    assert np.ptp(apart) < 0.8 * np.ptp(once), "the test could not have seen a duplicate"
