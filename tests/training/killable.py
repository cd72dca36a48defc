"""Run of `train_encoders` in its own process, which prints each step and a digest of its weights.

python -m tests.training.killable CORPUS_FOLDER STATE_FOLDER
"""

from __future__ import annotations

import hashlib
import sys
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
STEPS = 12


class PrintingTracker:
    """A tracker that prints each step."""

    def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        if "pretrain/step_loss" in metrics:
            print(f"step {step}", flush=True)

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


def main() -> None:
    torch.set_num_threads(1)
    corpus, run_state = make_corpus(Path(sys.argv[1])), RunState(sys.argv[2])
    run_state.attach(PrintingTracker())
    trained = train_encoders(corpus.task(CONFIG), run_state, "f")
    print(f"digest {digest(trained)}", flush=True)


if __name__ == "__main__":
    main()
