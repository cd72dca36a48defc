"""One of the processes that torchrun starts for `test_distributed`: trains, the main one saves.

torchrun --nproc-per-node=2 -m tests.training.two_processes CORPUS_FOLDER FOLDER KIND CHUNKS
"""

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sports_clip_pipeline.clip.projections import identity_projections
from sports_clip_pipeline.io.state import RunState
from sports_clip_pipeline.training.contrastive import train_encoders
from sports_clip_pipeline.training.distributed import (
    SINGLE_PROCESS,
    Processes,
    process_group,
)
from tests.training.corpus import (
    ONE_BLOCK,
    SPACE,
    make_corpus,
    of_pair,
    write_pair,
)

# Nothing is drawn in the processes, and norms do not see the batch.
CONFIG = ONE_BLOCK.model_copy(
    update={
        "encoder_dropout": False,
        "freeze_batch_norm": True,
        "encoder_epochs": 2,
        "checkpoint_every_steps": 1,
    }
)


def train(
    raw: Path, folder: Path, kind: str, chunks: int, processes: Processes = SINGLE_PROCESS
) -> Any:
    """Train the toy corpus in `raw`; everything is written under `folder`."""
    corpus, config = make_corpus(raw), CONFIG.model_copy(update={"encoder_accumulation": chunks})
    start = None
    if kind == "pair":
        pair = Path(tempfile.mkdtemp(dir=folder)) / "pair"
        corpus = of_pair(corpus, write_pair(pair))
        start = identity_projections(SPACE, 2.5, None)
        config = config.model_copy(
            update={
                "unlocked_image_blocks": -1,
                "unlocked_text_blocks": 0,
                "projections": "none",
                "epochs": 0,
            }
        )

    def evaluate(image: np.ndarray, text: np.ndarray, image_index: np.ndarray) -> dict[str, float]:
        return {"validation_t2i_r5": len(image) / 100}

    task = corpus.task(config, evaluate, start, processes=processes)
    state_folder = folder / f"run_state-{processes.world_size}"
    run_state = RunState(state_folder, read_only=not processes.is_main_process)
    if kind == "killed" and not processes.is_main_process:
        step = task.after_step
        steps: list[int] = []

        def die() -> None:
            steps.append(1)
            if len(steps) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            step()

        task.after_step = die  # type: ignore[method-assign]
    return train_encoders(task, run_state, "f")


def main() -> None:
    raw, folder = Path(sys.argv[1]), Path(sys.argv[2])
    with process_group("cpu", CONFIG.encoder_batch_size) as processes:
        trained = train(raw, folder, sys.argv[3], int(sys.argv[4]), processes)
    if processes.is_main_process:
        losses = np.array([row["loss"] for row in trained.history])
        recalls = np.array([row["validation_t2i_r5"] for row in trained.history])
        projection = trained.projections.image_weight
        np.savez(
            folder / "trained.npz", losses=losses, recalls=recalls, projection=projection,
            **{f"weight.{name}": value for name, value in trained.weights.items()},
        )  # fmt: skip


if __name__ == "__main__":
    main()
