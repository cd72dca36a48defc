"""How often cross-fitting changes the choice of the method, and what that costs.

    python benchmarks/nested_choice.py [--env real] [--seeds 5] [--fractions 0.01+0.1]

An ensemble's weights, fitted to all held-out rows, are scored on the rows that they were fitted
to; cross-fitted weights are not. Both scores of every ensemble of a finished study are compared by
the method that they choose. Writes docs/nested-choice.md, which `verify_real.py` includes.
"""

import argparse
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from trial_cost import study_of

from sports_clip_pipeline.evaluation.bootstrap import best_by_cross_validation
from sports_clip_pipeline.fewshot import ensemble, semi_supervised
from sports_clip_pipeline.fewshot.base import METHODS
from sports_clip_pipeline.fewshot.study import run_study
from sports_clip_pipeline.io.state import RunState

PAGE = Path(__file__).parents[1] / "docs/nested-choice.md"
OF_ENSEMBLES = (ensemble.__name__, semi_supervised.__name__)


def fit_on_all(logits: list[np.ndarray], target: np.ndarray, fold: np.ndarray) -> tuple:
    """As `cross_fit`, but every row is weighed by weights fitted to all of them."""
    stack = np.stack(logits).astype(np.float64)
    tested = ~np.isnan(stack.sum(axis=(0, 2)))
    weights = ensemble.fit_weights(stack[:, tested], target[tested])
    parts = fold if len(np.unique(fold[tested])) > 1 else np.arange(len(fold)) % 5
    return np.tensordot(weights, stack, axes=1), dict.fromkeys(np.unique(parts).tolist(), weights)


def choices(trials: pd.DataFrame, in_sample: pd.DataFrame) -> pd.DataFrame:
    """One row a fraction × seed: the method that each score chooses, and its top-1."""
    rows = []
    for (fraction, seed), own in trials.groupby(["fraction", "seed"]):
        top1 = own.set_index("method")["top1"]
        other = in_sample.query("fraction == @fraction and seed == @seed").set_index("method")
        scores = own.set_index("method")[["fraction", "cv_top1", "cv_log_loss"]].copy()
        nested = best_by_cross_validation(scores.reset_index(), fraction)
        scores.update(other[["cv_top1", "cv_log_loss"]])
        plain = best_by_cross_validation(scores.reset_index(), fraction)
        rows.append((fraction, seed, plain, nested, top1[plain], top1[nested]))
    return pd.DataFrame(rows, columns=["fraction", "seed", "plain", "nested", "before", "after"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="real")
    parser.add_argument("--seeds", type=int, help="the first ones of the study; all by default")
    parser.add_argument("--fractions", help="0.01+0.1; all of the study by default")
    given = parser.parse_args()
    study = study_of(given.env)
    names = [name for name in study.config.selected if METHODS[name].module in OF_ENSEMBLES]
    changes = {"select": tuple(names), "workers": 1, "seeds": given.seeds or study.config.seeds}
    fractions = given.fractions.split("+") if given.fractions else study.config.fractions
    changes |= {"fractions": tuple(map(float, fractions))}
    config = study.config.model_copy(update=changes)
    patches = [
        patch.object(module, "cross_fit", fit_on_all) for module in (ensemble, semi_supervised)
    ]
    rows = []
    with patches[0], patches[1]:
        for fitted in run_study(study.data, config, RunState()):
            key = fitted.key
            scores = fitted.fit.cv_top1, fitted.fit.cv_log_loss
            rows.append((key.method, key.label_fraction, key.seed, *scores))
    columns = ["method", "fraction", "seed", "cv_top1", "cv_log_loss"]
    in_sample = pd.DataFrame(rows, columns=columns)
    subsets = in_sample[["fraction", "seed"]].drop_duplicates()
    table = choices(study.trials.merge(subsets), in_sample)
    both = in_sample.merge(study.trials, on=columns[:3], suffixes=("", "_nested"))
    both["optimism"] = both["cv_top1"] - both["cv_top1_nested"]
    lines = [
        "# Choice of the method with cross-fitted weights",
        "",
        "Written by `python benchmarks/nested_choice.py`; do not edit. *Before*: held-out accuracy",
        "of an ensemble with weights fitted to the rows it is measured on. *Now*: with weights",
        "fitted to the other folds. *Optimism*: before less now, mean over ensembles and subsets.",
        "Top-1 on the test images of the chosen method, per cent; nothing was chosen by it.",
        "",
        "| labels | subsets | optimism, points | choice changes in | top-1 before | top-1 now |",
        "|---|---|---|---|---|---|",
    ]
    for fraction, part in table.groupby("fraction"):
        optimism = 100 * both.loc[both["fraction"] == fraction, "optimism"].mean()
        changed = int((part["plain"] != part["nested"]).sum())
        before, after = (f"{100 * part[name].mean():.2f}" for name in ("before", "after"))
        lines.append(
            f"| {fraction:.0%} | {len(part)} | {optimism:+.2f} | {changed} | {before} | {after} |"
        )
    PAGE.write_text("\n".join(lines) + "\n")
    print(*lines[8:], sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
