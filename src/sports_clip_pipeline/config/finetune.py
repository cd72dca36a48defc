"""Parameters of the `finetune` pipeline: the plan of arms and what each method may choose from."""

from __future__ import annotations

from dataclasses import dataclass

from sports_clip_pipeline.config.checks import as_tuple, require, require_choice, require_number

PLANS = ("features", "pixels")
_STRENGTHS = (
    "logreg_c", "text_init_c", "ridge_alpha", "gda_shrinkage", "blend_c", "tip_sharpness", "lp_c",
)  # fmt: skip


@dataclass(frozen=True)
class FinetuneConfig:
    """Fractions × seeds × methods; k-fold inside an arm's labels sets its hyper-parameters.

    Attributes:
        plan: `features` fits on cached features; `pixels` trains through the image tower.
        dry_run: only tell how many arms, hours and bytes the plan takes.
        methods: which methods to fit, of those in `fewshot.base`.
        fractions: shares of the development labels, in (0, 1].
        seeds: subsets drawn at fractions below `many_labels`.
        many_labels: from this fraction on `seeds_at_many_labels` subsets are enough; at 1.0 there
            is one subset.
        seeds_at_many_labels: see above.
        folds: of the k-fold inside the labelled part.
        logreg_c: inverse regularisation strengths of `logreg_tower`, on unit-norm features.
        text_init_c: inverse strengths of the pull towards the text anchors.
        mlp_steps: optimiser steps of `notebook_mlp` to choose from.
        mlp_lr: Adam's learning rate.
        mlp_batch_size: photographs a step.
        ridge_alpha: penalties of `ridge`, on unit-norm features.
        gda_shrinkage: of the GDA's covariance, in units of the published one.
        blend_c: inverse regularisation strengths of the probe in `logreg_blend`.
        tip_keys_per_class: keys of a Tip-Adapter's cache; centres of so many groups, beyond.
        tip_sharpness: β of the cache's similarities.
        tip_f_steps: of training the keys, to choose from; the last ends the cosine schedule.
        tip_f_lr: AdamW's peak rate.
        tip_f_batch_size: photographs a step.
        lp_c: inverse regularisation strengths of the probe in `lp_plus_plus`.
        lp_pull: of the text multipliers to their common start.
        em_width: principal axes of labelled and unlabelled photographs together, at most.
        em_iterations: of EM in `gda_em`.
        em_sharpness: factor of the Gaussians' log-likelihoods beside the supervised blend's.
        em_shrinkage: of their covariance towards its mean variance.
        em_confidence: unlabelled photographs count by their highest probability to this power.
        em_label_weight: how many sure unlabelled photographs a labelled one counts as.
        student_c: inverse regularisation strength of the student of `self_training`.
        student_confidence: as `em_confidence`, of the student's photographs.
        student_label_weight: as `em_label_weight`.
        student_steps: most iterations of L-BFGS on the student.
        spread_neighbours: of a photograph in the graph of `label_propagation`.
        spread_alpha: how far labels spread, in [0, 1).
        pseudo_c: inverse regularisation strength of the probe of `pseudo_labels`.
        pseudo_rounds: of taking its own answers for labels, at most.
        pseudo_weight: of all those answers in the last round, beside 1 for the labels.
        workers: processes; 0 means one for each core, each with its share of the threads.
        bootstrap_resamples: of the intervals over photographs and seeds.
    """

    plan: str = "features"
    dry_run: bool = False
    methods: tuple[str, ...] = ("notebook_mlp", "logreg_tower", "logreg_clip_text_init")
    fractions: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
    seeds: int = 5
    many_labels: float = 0.25
    seeds_at_many_labels: int = 3
    folds: int = 5
    logreg_c: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0)
    text_init_c: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    mlp_steps: tuple[int, ...] = (100, 300, 1000)
    mlp_lr: float = 1e-3
    mlp_batch_size: int = 128
    ridge_alpha: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    gda_shrinkage: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0)
    blend_c: tuple[float, ...] = (30.0, 100.0, 300.0)
    tip_keys_per_class: int = 32
    tip_sharpness: tuple[float, ...] = (3.0, 5.5, 10.0, 20.0, 40.0)
    tip_f_steps: tuple[int, ...] = (20, 100)
    tip_f_lr: float = 1e-3
    tip_f_batch_size: int = 256
    lp_c: tuple[float, ...] = (30.0, 100.0, 300.0)
    lp_pull: float = 4.0
    em_width: int = 1024
    em_iterations: int = 6
    em_sharpness: float = 0.3
    em_shrinkage: float = 0.2
    em_confidence: float = 3.0
    em_label_weight: float = 10.0
    student_c: float = 10.0
    student_confidence: float = 2.0
    student_label_weight: float = 5.0
    student_steps: int = 60
    spread_neighbours: int = 10
    spread_alpha: float = 0.8
    pseudo_c: float = 30.0
    pseudo_rounds: int = 3
    pseudo_weight: float = 3.0
    workers: int = 0
    bootstrap_resamples: int = 1000

    def __post_init__(self) -> None:
        from sports_clip_pipeline.fewshot.base import METHODS

        for name, cast in (
            ("methods", str),
            ("fractions", float),
            ("logreg_c", float),
            ("text_init_c", float),
            ("mlp_steps", int),
            ("ridge_alpha", float),
            ("gda_shrinkage", float),
            ("blend_c", float),
            ("tip_sharpness", float),
            ("tip_f_steps", int),
            ("lp_c", float),
        ):
            values = as_tuple(getattr(self, name), f"finetune.{name}", cast)
            require(len(set(values)) == len(values), f"finetune.{name}", "no value twice", values)
            object.__setattr__(self, name, values)
        require_choice(self.plan, "finetune.plan", PLANS)
        require(isinstance(self.dry_run, bool), "finetune.dry_run", "true or false", self.dry_run)
        for method in self.methods:
            require_choice(method, "finetune.methods", tuple(METHODS))
        for fraction in self.fractions:
            require(0.0 < fraction <= 1.0, "finetune.fractions", "values in (0, 1]", fraction)
        for name in _STRENGTHS:
            for strength in getattr(self, name):
                require_number(strength, f"finetune.{name}", 1e-6, 1e6)
        for name, low, high in (
            ("seeds", 1, 5),
            ("seeds_at_many_labels", 1, 5),
            ("folds", 2, 20),
            ("mlp_batch_size", 1, 65_536),
            ("tip_keys_per_class", 1, 10_000),
            ("tip_f_batch_size", 1, 65_536),
            ("em_width", 1, 65_536),
            ("em_iterations", 1, 1000),
            ("student_steps", 1, 1_000_000),
            ("spread_neighbours", 1, 10_000),
            ("pseudo_rounds", 0, 100),
            ("workers", 0, 64),
            ("bootstrap_resamples", 100, 100_000),
        ):
            require_number(getattr(self, name), f"finetune.{name}", low, high, integer=True)
        for name in ("mlp_steps", "tip_f_steps"):
            for steps in getattr(self, name):
                require_number(steps, f"finetune.{name}", 1, 1_000_000, integer=True)
        require_number(self.many_labels, "finetune.many_labels", 0.0, 1.0)
        require_number(self.mlp_lr, "finetune.mlp_lr", 1e-6, 1.0)
        require_number(self.tip_f_lr, "finetune.tip_f_lr", 1e-6, 1.0)
        require_number(self.lp_pull, "finetune.lp_pull", 0.0, 1e6)
        for name, least, most in (
            ("em_sharpness", 0.0, 1e6),
            ("em_shrinkage", 0.0, 1.0),
            ("em_confidence", 0.0, 100.0),
            ("em_label_weight", 0.0, 1e6),
            ("student_c", 1e-6, 1e6),
            ("student_confidence", 0.0, 100.0),
            ("student_label_weight", 0.0, 1e6),
            ("spread_alpha", 0.0, 0.999),
            ("pseudo_c", 1e-6, 1e6),
            ("pseudo_weight", 0.0, 1e6),
        ):
            require_number(getattr(self, name), f"finetune.{name}", least, most)

    def seeds_for(self, fraction: float) -> range:
        """The seeds of the subsets drawn at a fraction."""
        if fraction >= 1.0:
            return range(1)
        many = fraction >= self.many_labels
        return range(min(self.seeds, self.seeds_at_many_labels) if many else self.seeds)
