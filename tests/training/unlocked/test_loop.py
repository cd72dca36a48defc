from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sports_clip_pipeline.objectives.contrastive import multi_positive_info_nce
from sports_clip_pipeline.pipelines.pretrain.config import PretrainConfig
from sports_clip_pipeline.training.unlocked.loop import TowerTraining
from sports_clip_pipeline.training.unlocked.precision import Compute

CPU = Compute("cpu", "fp32")


@pytest.fixture
def new_training(corpus, new_clip: Callable[[], Any]) -> Callable[..., TowerTraining]:
    def make(config: PretrainConfig, compute: Compute = CPU) -> TowerTraining:
        return TowerTraining(
            new_clip(), corpus.pairs("train"), corpus.preprocessing, config, compute
        )

    return make


def changed(training: TowerTraining, before: dict[str, torch.Tensor]) -> set[str]:
    after = training.model.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def snapshot(training: TowerTraining) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in training.model.state_dict().items()}


@pytest.mark.parametrize("blocks", [(1, 0), (0, 1), (2, 2)])
def test_an_epoch_changes_what_is_unlocked_and_nothing_else(
    new_training: Callable[..., TowerTraining],
    one_block: PretrainConfig,
    blocks: tuple[int, int],
) -> None:
    image, text = blocks
    training = new_training(
        replace(one_block, unlocked_image_blocks=image, unlocked_text_blocks=text)
    )
    before = snapshot(training)
    training.run_epoch()
    found = changed(training, before)
    assert found <= set(training.unlocked.names)
    missed = set(training.unlocked.names) - found
    # Keys' biases have no influence on attention: a softmax does not see what is added to all.
    assert all(name.endswith("attention.self.key.bias") for name in missed), missed
    assert any(name.startswith("visual.trunk.") for name in found) == (image > 0)
    assert any(name.startswith("text.transformer.") for name in found) == (text > 0)
    locked = [p for p in training.model.parameters() if not p.requires_grad]
    assert locked
    assert all(parameter.grad is None for parameter in locked)


def test_statistics_of_locked_norms_stay_bit_for_bit(
    new_training: Callable[..., TowerTraining], one_block: PretrainConfig
) -> None:
    training = new_training(one_block)
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    before = {n: v for n, v in snapshot(training).items() if n.endswith(statistics)}
    training.run_epoch()
    moved = changed(training, before)
    assert {name.split(".")[2] for name in moved} == {"blocks", "bn2"}
    assert {n.split(".")[3] for n in moved if n.split(".")[2] == "blocks"} == {"6"}


def test_the_loss_falls_on_a_handful_of_pairs(
    new_training: Callable[..., TowerTraining], one_block: PretrainConfig
) -> None:
    config = replace(one_block, encoder_epochs=8, encoder_batch_size=10, captions_per_image=5)
    training = new_training(config)
    losses = [training.run_epoch() for _ in range(8)]
    assert losses[-1] < 0.7 * losses[0], losses
    image_emb, text_emb = training.embed(training.pairs)
    owner = training.pairs.features.owner
    assert ((text_emb @ image_emb.T).argmax(axis=1) == owner).mean() > 0.5


def test_with_both_towers_locked_features_give_the_loss_of_the_projections(
    new_training: Callable[..., TowerTraining], one_block: PretrainConfig, start, corpus
) -> None:
    config = replace(
        one_block,
        unlocked_image_blocks=0, unlocked_text_blocks=0,
        encoder_batch_size=10, captions_per_image=5, encoder_peak_lr=1e-7,
    )  # fmt: skip
    training = new_training(config)
    loss = training.run_epoch()
    features = corpus.pairs("train").features
    wanted = multi_positive_info_nce(
        torch.from_numpy(start.image_embeddings(features.image)),
        torch.from_numpy(start.text_embeddings(features.text)),
        torch.from_numpy(features.owner),
        torch.tensor(math.exp(start.logit_scale)),
    )
    assert loss == pytest.approx(float(wanted), rel=1e-4)


def test_embeddings_before_training_are_the_projected_features(
    new_training: Callable[..., TowerTraining], one_block: PretrainConfig, start, corpus
) -> None:
    """Pixels and tokens through the model, features through the projections: the same."""
    pairs = corpus.pairs("validation")
    image_emb, text_emb = new_training(one_block).embed(pairs)
    np.testing.assert_allclose(
        image_emb, start.image_embeddings(pairs.features.image), rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(
        text_emb, start.text_embeddings(pairs.features.text), rtol=1e-3, atol=1e-4
    )


def test_a_step_tells_its_pairs_and_an_epoch_sees_each_image_once(
    new_training: Callable[..., TowerTraining], one_block: PretrainConfig
) -> None:
    training = new_training(one_block)
    told: list[tuple[int, int]] = []
    training.run_epoch(lambda step, pairs, loss: bool(told.append((step, pairs))))
    assert told == [(0, 10), (1, 10)]
    assert training.pairs_per_epoch == 20
    assert training.epoch == 1


def test_training_leaves_the_generators_of_the_process_alone(
    new_training: Callable[..., TowerTraining], one_block: PretrainConfig
) -> None:
    training = new_training(replace(one_block, unlocked_image_blocks=0))
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    training.run_epoch()
    assert torch.equal(torch.rand(3), wanted)


def test_the_scale_stays_within_what_clip_allows(
    new_training: Callable[..., TowerTraining], one_block: PretrainConfig
) -> None:
    training = new_training(replace(one_block, unlocked_image_blocks=0, unlocked_text_blocks=0))
    with torch.no_grad():
        training.model.logit_scale.fill_(9.0)
    training.run_epoch()
    scale = float(training.model.logit_scale.detach())
    assert math.log(100.0) - 0.01 < scale <= math.log(100.0) + 1e-6


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_agrees_roughly_and_keeps_weights_in_fp32(
    new_training: Callable[..., TowerTraining], one_block: PretrainConfig, precision: str
) -> None:
    # Only the image tower learns: dropout in the text tower draws otherwise in other types.
    config = replace(one_block, unlocked_text_blocks=0, encoder_peak_lr=1e-4)
    plain, mixed = new_training(config), new_training(config, Compute("cpu", precision))
    for one, other in zip(plain.embed(plain.pairs), mixed.embed(mixed.pairs), strict=True):
        assert other.dtype == np.float32
        assert (one * other).sum(axis=1).min() > 0.995
    assert mixed.run_epoch() == pytest.approx(plain.run_epoch(), rel=0.05)
    assert {p.dtype for p in mixed.model.parameters()} == {torch.float32}
    assert all(bool(p.isfinite().all()) for p in mixed.model.parameters())
    assert mixed.scaler.is_enabled() == (precision == "fp16")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_restored_state_goes_on_bit_for_bit(
    new_training: Callable[..., TowerTraining], one_block: PretrainConfig, precision: str
) -> None:
    compute = Compute("cpu", precision)
    whole = new_training(one_block, compute)
    losses = [whole.run_epoch() for _ in range(3)]
    broken = new_training(one_block, compute)
    broken.run_epoch()
    resumed = new_training(one_block, compute)
    resumed.restore(*broken.state())
    assert [resumed.run_epoch() for _ in range(2)] == losses[1:]
    assert not changed(resumed, snapshot(whole))
    assert resumed.scaler.state_dict() == whole.scaler.state_dict()


@pytest.mark.parametrize("accumulation", [1, 2])
def test_an_epoch_left_after_any_step_goes_on_bit_for_bit(
    new_training: Callable[..., TowerTraining], one_block: PretrainConfig, accumulation: int
) -> None:
    config = replace(one_block, encoder_batch_size=3, encoder_accumulation=accumulation)
    whole = new_training(config)
    assert whole.steps_per_epoch == 3
    losses = [whole.run_epoch(), whole.run_epoch()]
    left = new_training(config)
    left.run_epoch()
    assert left.run_epoch(lambda step, pairs, loss: step == 4) is None
    assert (left.epoch, left.step) == (1, 2)
    resumed = new_training(config)
    resumed.restore(*left.state())
    assert resumed.pairs_done == left.pairs_done == 33
    assert resumed.run_epoch() == losses[1]
    assert not changed(resumed, snapshot(whole))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_gpu_trains_in_mixed_precision(
    new_training: Callable[..., TowerTraining], one_block: PretrainConfig, precision: str
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    config = replace(one_block, encoder_epochs=4, unlocked_image_blocks=-1, unlocked_text_blocks=-1)
    training = new_training(config, Compute("cuda", precision))
    plain = new_training(config)
    for one, other in zip(plain.embed(plain.pairs), training.embed(plain.pairs), strict=True):
        assert (one * other).sum(axis=1).min() > 0.995
    first = training.run_epoch()
    kept = training.state()
    losses = [training.run_epoch() for _ in range(3)]
    assert losses[-1] < first
    resumed = new_training(config, Compute("cuda", precision))
    resumed.restore(*kept)
    assert resumed.run_epoch() == pytest.approx(losses[0], rel=0.05)
    assert training.model.visual.trunk.conv_head.weight.device.type == "cuda"
