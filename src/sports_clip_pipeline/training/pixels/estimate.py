"""What the pixel plan costs, before it starts: steps, hours and disk, from a short timed trial."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from sports_clip_pipeline.machine import cores, keep_freed_memory
from sports_clip_pipeline.pipelines.finetune.config import EndToEndConfig
from sports_clip_pipeline.preprocessing.images import ImagePreprocessing
from sports_clip_pipeline.training.pixels.arms import PixelStudy, arm_steps, plan_pixel_arms
from sports_clip_pipeline.training.pixels.loop import Photographs, PixelTraining
from sports_clip_pipeline.training.pixels.methods import find_pixel_method
from sports_clip_pipeline.training.pixels.methods.interface import Start

# An arm's tower is kept twice, in the journal and in its predictor's folder, as float32.
_BYTES = 2 * 4


def estimate(
    config: EndToEndConfig,
    labelled_counts: Mapping[float, int],
    images_per_s: float | Mapping[str, float],
    parameters: int = 0,
) -> pd.DataFrame:
    """One row an arm of the plan, in its order.

    Args:
        labelled_counts: labelled photographs at each fraction.
        images_per_s: trained a second, by method or of all.
        parameters: of the tower.
    Returns: `method`, `fraction`, `seed`, `steps` (of a refit too), `hours`, `disk_bytes`. Without
        a refit, 100 photographs of which 10 are held out, 8 epochs, batches of 8 and 50 images/s
        are 90 steps and 14.4 s.
    Raises: KeyError: a fraction or method without its number.
    """
    rows = []
    for arm in plan_pixel_arms(config):
        labels = labelled_counts[arm.fraction]
        rate = images_per_s if isinstance(images_per_s, (int, float)) else images_per_s[arm.method]
        steps = arm_steps(labels, round(labels * config.held_out_share), config)
        hours = steps * config.batch_size / rate / 3600.0
        rows.append(
            {
                "method": arm.method,
                "fraction": arm.fraction,
                "seed": arm.seed,
                "steps": steps,
                "hours": hours,
                "disk_bytes": parameters * _BYTES,
            }
        )
    return pd.DataFrame(rows)


def estimate_study(study: PixelStudy, config: EndToEndConfig, trial_steps: int = 3) -> pd.DataFrame:
    """The estimate for a study, at the rate that each method reaches here in a few steps."""
    counts = {}
    for arm in plan_pixel_arms(config):
        counts[arm.fraction] = len(study.rows(arm))
    size = study.squares.preprocessing
    rates = {
        method: measure_rate(method, study.start, size, config, trial_steps)
        for method in config.methods
    }
    parameters = sum(value.numel() for value in study.start.pretrained().parameters())
    return estimate(config, counts, rates, parameters)


def measure_rate(
    method: str,
    start: Start,
    preprocessing: ImagePreprocessing,
    config: EndToEndConfig,
    steps: int = 3,
) -> float:
    """Images a second that a method trains on noise, after one step to warm up."""
    torch.set_num_threads(config.threads or cores())
    keep_freed_memory()
    rng = np.random.default_rng(0)
    shape = (config.batch_size, preprocessing.size, preprocessing.size, 3)
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    rows = np.arange(config.batch_size)
    photographs = Photographs(noise, rows, rows % start.classes, preprocessing)
    recipe = find_pixel_method(method)
    training = PixelTraining(recipe.build(start, config, 0), recipe, photographs, config, 0)
    training.step()
    begun = time.perf_counter()
    for _ in range(steps):
        training.step()
    return steps * config.batch_size / (time.perf_counter() - begun)
