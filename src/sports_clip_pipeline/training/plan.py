"""What a plan of arms on cached features takes, before it starts."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from sports_clip_pipeline.config.finetune import FinetuneConfig
from sports_clip_pipeline.journal import Journal
from sports_clip_pipeline.machine import cores
from sports_clip_pipeline.training.study import StudyData, kept_arms, plan_arms, run_study


def estimate_plan(data: StudyData, config: FinetuneConfig, journal: Journal) -> pd.DataFrame:
    """Arms, hours and disk of each method, from a trial at the smallest fraction.

    Time is taken to grow with the number of labels, which is about right from a few hundred on.

    Returns: one row a method: `method`, `arms`, `finished` (kept from earlier runs), `hours` (of
        the rest, on all workers together) and `disk_bytes` (of all).
    """
    plan = plan_arms(config)
    kept = {fitted.arm for fitted in kept_arms(plan, data, config, journal)}
    workers = config.workers or cores()
    smallest = min(config.fractions)
    trial = replace(config, fractions=(smallest,), seeds=1, workers=1, many_labels=1.0)
    rows = []
    for method in config.methods:
        fitted = next(iter(run_study(data, replace(trial, methods=(method,)), Journal())))
        arms = [arm for arm in plan if arm.method == method]
        waiting = [arm for arm in arms if arm not in kept]
        growth = sum(arm.fraction / smallest for arm in waiting)
        arrays = fitted.fit.head.to_arrays().values()
        rows.append(
            {
                "method": method,
                "arms": len(arms),
                "finished": len(arms) - len(waiting),
                "hours": fitted.elapsed_s * growth / workers / 3600.0,
                "disk_bytes": len(arms) * sum(array.nbytes for array in arrays),
            }
        )
    return pd.DataFrame(rows)


def plan_in_words(plan: pd.DataFrame) -> str:
    """The plan as lines: one a method, and the sum.

    Args:
        plan: `method`, `hours`, `disk_bytes`, and `arms` with `finished`, or one row an arm.
    """
    table = plan.assign(arms=plan.get("arms", 1), finished=plan.get("finished", 0))
    columns = ["arms", "finished", "hours", "disk_bytes"]
    by_method = table.groupby("method", sort=False)[columns].sum()
    lines = [_line(str(method), *row.to_numpy()) for method, row in by_method.iterrows()]
    return "\n".join([*lines, _line("all", *by_method.sum().to_numpy())])


def _line(name: str, arms: float, finished: float, hours: float, disk_bytes: float) -> str:
    return (
        f"{name:<24} {arms:5.0f} arms, {finished:5.0f} finished, about {60 * hours:7.1f} min for "
        f"the rest, {disk_bytes / 1e6:8.1f} MB"
    )
