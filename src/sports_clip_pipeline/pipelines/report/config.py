"""Parameter blocks `report` and `model_card`: what the page says beside the numbers."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from sports_clip_pipeline.parameters import Names, Parameters, Sentence, Text, Words, choices

MEASURES = ("zero_shot_top1", "fewest_labels_top1", "all_labels_top1", "retrieval_r5")
CORPORA = ("flickr8k", "sports")


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Sentences = Annotated[tuple[Sentence, ...], BeforeValidator(_as_tuple)]


class Reference(Parameters):
    """A published number to stand beside one of ours."""

    measure: Annotated[str, choices(*MEASURES)] = Field(description="Row of the headline table.")
    label: Text = Field(description="Where it was published; one label makes one column.")
    value: float = Field(ge=0, le=1)
    note: Text = Field(description="What makes it comparable, or not; a footnote.")


class ReportConfig(Parameters, block="report"):
    """Contents and limits of the report page."""

    study: Text = Field(description="Name of the study, shown at the top.")
    methods: dict[str, Text] = Field({}, description="Method -> display name.")
    highlighted: int = Field(
        4, ge=1, le=20, description="Best methods by validation that figures show at once."
    )
    baselines: Words = Field(("notebook_mlp", "logreg"), description="Methods always shown.")
    reference: Annotated[tuple[Reference, ...], BeforeValidator(_as_tuple)] = Field(
        (), description="Published numbers; empty where nothing is comparable."
    )
    gallery_images: int = Field(24, ge=0, le=200, description="Explained images at most.")
    confused_pairs: int = Field(12, ge=1, le=100, description="Rows of most confused classes.")
    label_issues: int = Field(24, ge=0, le=500, description="Likely label issues shown at most.")
    queried_images: int = Field(12, ge=0, le=500, description="Images to label next shown at most.")
    thumbnail_px: int = Field(96, ge=32, le=512, description="Longer side of those images.")
    packages: Names = Field(
        ("kedro", "torch", "open_clip_torch", "plotly"), description="Versions that are listed."
    )
    max_page_mb: float = Field(
        6.0, ge=0.1, le=100, description="A larger page is refused, megabytes of 10^6 bytes."
    )


class CorpusFacts(Parameters):
    """What a corpus is called, and its licence."""

    name: Sentence
    licence: Sentence


class ModelCardConfig(Parameters, block="model_card"):
    """What the numbers of a run cannot say."""

    intended_use: Sentences = Field(description="What the classifier is for, a sentence each.")
    not_for: Sentences = Field(description="What it is not for.")
    limits: Sentences = Field(description="What was not measured.")
    corpora: dict[str, dict[str, CorpusFacts]] = Field(
        {},
        description="Study -> corpus (flickr8k, sports) -> name and licence; a study that is not "
        "named has no record.",
    )

    @field_validator("corpora")
    @classmethod
    def _both(cls, corpora: dict[str, dict[str, CorpusFacts]]) -> dict[str, dict[str, CorpusFacts]]:
        for study, facts in corpora.items():
            if set(facts) != set(CORPORA):
                raise ValueError(f"wanted {' and '.join(CORPORA)} of {study}")
        return corpora
