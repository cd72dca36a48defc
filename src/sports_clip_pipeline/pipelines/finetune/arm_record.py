"""A judged arm as a child run of the record."""

from __future__ import annotations

from typing import Any

from sports_clip_pipeline.journal import Journal


def log_arm(journal: Journal, arm: Any, shared: dict[str, Any], plan: str = "") -> None:
    """Log parameters and scores of a `ScoredArm`.

    Args:
        shared: parameters that all arms have. plan: what its name begins with, if anything.
    """
    row, fit = arm.row, arm.fitted.fit
    params = {key: row[key] for key in ("method", "fraction", "seed", "labels")}
    metrics = {
        "test/top1": row["top1"],
        "test/macro_f1": row["macro_f1"],
        "validation/top1": row["cv_top1"],
        "validation/log_loss": row["cv_log_loss"],
        "elapsed_s": row["elapsed_s"],
    }
    name = f"{row['method']} {row['fraction']:g} seed {row['seed']}"
    journal.log_arm(
        f"{plan} {name}".strip(),
        {
            **params,
            "backbone": shared["tower"],
            **shared,
            **({"plan": plan} if plan else {}),
            **fit.hyperparameters,
        },
        metrics,
        {"reused": str(row["reused"]).lower()},
    )
