"""The class bank: class labels, their display names, and the sentences that describe them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.parameters import Parameters, Texts


def _not_empty(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts:
        raise ValueError("wanted at least one text")
    return texts


class ClassEntry(Parameters):
    """How one class is called, and how pictures of it are described."""

    label: str = Field(description="As the corpus spells it.")
    names: Annotated[Texts, AfterValidator(_not_empty)] = Field(
        description="What people call it; the first name is the one to show."
    )
    sentences: Texts = Field((), description="Sentences that describe its pictures.")

    @field_validator("label", mode="before")
    @classmethod
    def _text(cls, label: object) -> object:
        if not isinstance(label, str) or label != label.strip() or not label:
            raise ValueError("wanted text without outer blanks (a number, yes or no wants quotes)")
        return label


def _templates(templates: tuple[str, ...]) -> tuple[str, ...]:
    for template in templates:
        rest = template.replace("{}", "", 1)
        if "{}" not in template or {"{", "}"} & set(rest):
            raise ValueError("wanted exactly one {} in each template, and no other brace")
    return templates


def _no_twins(classes: tuple[ClassEntry, ...]) -> tuple[ClassEntry, ...]:
    labels: dict[str, str] = {}
    names: dict[str, str] = {}
    for entry in classes:
        labels.setdefault(entry.label.casefold(), entry.label)
        for name in entry.names:
            if (owner := names.setdefault(name.casefold(), entry.label)) != entry.label:
                raise ValueError(
                    f"wanted names of its own for {entry.label} (class {owner} has {name!r})"
                )
    if len(labels) < len(classes):
        folded = [entry.label.casefold() for entry in classes]
        twice = sorted({label for label in folded if folded.count(label) > 1})
        raise ValueError(f"wanted labels that differ in more than case, got {twice} twice")
    return classes


class ClassBank(Parameters):
    """Parameter block `class_bank`: what each class is called, in words a caption would use.

    The order of `classes` is the order of the classes everywhere: in logits, probabilities and
    confusion matrices. It is a list, so that an environment's classes replace those of base.
    """

    block: ClassVar[str] = "class_bank"

    templates: Annotated[Texts, AfterValidator(_not_empty), AfterValidator(_templates)] = Field(
        description="Prompt templates with exactly one `{}`, where a name goes."
    )
    classes: Annotated[
        tuple[ClassEntry, ...],
        BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
        AfterValidator(_no_twins),
        Field(min_length=1),
    ] = Field(description="Label, names and sentences of each class.")

    def require_two(self) -> None:
        """Raises: UserFacingError: a study of one class, which has nothing to tell apart."""
        if len(self.classes) < 2:
            raise UserFacingError(
                "parameter class_bank.classes",
                f"wanted two classes or more, got {list(self.labels)}",
                "add a class",
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels as the corpus spells them, in the order of the configuration."""
        return tuple(entry.label for entry in self.classes)

    def _entry(self, label: str) -> ClassEntry:
        for entry in self.classes:
            if entry.label == label:
                return entry
        raise KeyError(label)

    def names(self, label: str) -> tuple[str, ...]:
        """What people call this class; the first name is the one to show.

        Raises: KeyError: no such label.
        """
        return self._entry(label).names

    def sentences(self, label: str) -> tuple[str, ...]:
        """Sentences that describe pictures of this class; may be empty.

        Raises: KeyError: no such label.
        """
        return self._entry(label).sentences

    def prompts(self, label: str) -> tuple[str, ...]:
        """Every template with every name, then the sentences.

        >>> bank = ClassBank(templates="a photo of {}.", classes=[dict(label="ball", names="a ball")])
        >>> bank.prompts("ball")
        ('a photo of a ball.',)

        Raises: KeyError: no such label.
        """
        filled = (t.replace("{}", name) for t in self.templates for name in self.names(label))
        return (*filled, *self.sentences(label))
