"""Parameter block `finetune`: the label-efficiency study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, ValidationError

from sports_clip_pipeline.parameters import Fractions, Parameters, Words, choices

if TYPE_CHECKING:
    from sports_clip_pipeline.fewshot.base import Method

PLANS = ("frozen", "end_to_end")


class FinetuneConfig(Parameters):
    """Few-shot trials on frozen features: label fractions x seeds x methods."""

    block: ClassVar[str] = "finetune"

    plan: Annotated[str, choices(*PLANS)] = Field(
        "frozen",
        description="`frozen` fits on cached features; `end_to_end` trains the image encoder.",
    )
    dry_run: bool = Field(False, description="Print how many trials, hours and bytes, and stop.")
    methods: dict[str, dict[str, Any]] = Field(
        {"notebook_mlp": {}, "logreg": {}, "logreg_clip_text_init": {}},
        description="The methods to fit, of those in fewshot/base.py, and their settings.",
    )
    select: Words = Field(
        (), description="Fit these methods only (`a+b`), listed above or not; empty for all listed."
    )
    fractions: Fractions = Field(
        (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0), description="Label fractions, nested subsets."
    )
    seeds: int = Field(5, ge=1, le=5, description="Subsets at fractions below many_labels.")
    many_labels: float = Field(0.25, ge=0, le=1, description="From here on fewer seeds suffice.")
    seeds_at_many_labels: int = Field(3, ge=1, le=5, description="Subsets there; at 1.0 one.")
    folds: int = Field(5, ge=2, le=20, description="Cross-validation folds inside the labels.")
    workers: int = Field(0, ge=0, le=64, description="Processes; 0 means one a core.")
    bootstrap_resamples: int = Field(1000, ge=100, le=100_000, description="Of the intervals.")

    @property
    def selected(self) -> tuple[str, ...]:
        """The methods to fit."""
        return self.select or tuple(self.methods)

    def method(self, name: str) -> Method:
        """A method with its settings. Raises: ValueError: no such method, or wrong settings."""
        from sports_clip_pipeline.fewshot.base import method_class

        return method_class(name)(**self.methods.get(name, {}))

    def check(self) -> None:
        """Raises: ValueError: a method is unknown, or its settings are wrong."""
        if not self.selected:
            raise ValueError("wanted at least one method in finetune.methods")
        for name in (*self.methods, *self.select):
            try:
                self.method(name)
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(["methods", name, *map(str, problem["loc"])])
                raise ValueError(f"{where}: {problem['msg']}, got {problem['input']!r}") from error

    def seeds_for(self, fraction: float) -> range:
        """The seeds of the subsets drawn at a fraction."""
        if fraction >= 1.0:
            return range(1)
        many = fraction >= self.many_labels
        return range(min(self.seeds, self.seeds_at_many_labels) if many else self.seeds)
