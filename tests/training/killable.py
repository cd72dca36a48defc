"""Run of `train_encoders` for a process of its own, which sends each step and a digest."""

import hashlib
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.training.contrastive import TrainedEncoders, train_encoders
from tests.training.corpus import ONE_BLOCK, make_corpus

CONFIG = ONE_BLOCK.model_copy(
    update={
        "encoder_epochs": 4,
        "encoder_batch_size": 3,
        "encoder_accumulation": 2,
        "checkpoint_every_steps": 1,
        "ema_decay": 0.9,
    }
)
STEPS = 16


class SendingTracker:
    """A tracker that sends the number of each step."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        if "pretrain/step_loss" in metrics:
            self.connection.send(step)

    def log_trial(self, *arguments: Any) -> None:
        raise AssertionError("pretraining has no trials")


def digest(trained: TrainedEncoders) -> str:
    """Of all weights and of the losses, to the bit."""
    checksum = hashlib.sha256()
    for name, value in sorted(trained.weights.items()):
        checksum.update(name.encode() + value.tobytes())
    checksum.update(trained.projections.image_weight.tobytes())
    checksum.update(str([row["loss"] for row in trained.history]).encode())
    return checksum.hexdigest()


def run(corpus_folder: Path, state_folder: Path, connection: Connection) -> None:
    """Train the corpus; send each step's number, and at the end the digest of the weights."""
    torch.set_num_threads(1)
    run_state = RunState(state_folder)
    run_state.attach(SendingTracker(connection))
    connection.send(digest(train_encoders(make_corpus(corpus_folder).task(CONFIG), run_state, "f")))
