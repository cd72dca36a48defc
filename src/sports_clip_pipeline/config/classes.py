"""The class bank: the classes of a study, their names, and the sentences that describe them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sports_clip_pipeline.config.checks import as_tuple, require

_KEYS = ("names", "sentences")


@dataclass(frozen=True)
class ClassBank:
    """Parameter block `class_bank`: what each class is called, in words a caption would use.

    The order of `classes` is the order of the classes everywhere: in logits, probabilities and
    confusion matrices.

    Attributes:
        templates: sentences with exactly one `{}`, where a name goes.
        classes: label -> {"names": at least one name, "sentences": descriptions, maybe none}.
            The first name is the one to show to people.
    """

    templates: tuple[str, ...]
    classes: dict[str, dict[str, tuple[str, ...]]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "templates", _texts(self.templates, "class_bank.templates"))
        for template in self.templates:
            wanted = "exactly one {} in each template, and no other brace"
            holes_only = template.replace("{}", "", 1)
            is_template = "{}" in template and not {"{", "}"} & set(holes_only)
            require(is_template, "class_bank.templates", wanted, template)
        wanted = "a mapping from label to {names: [...], sentences: [...]}"
        is_mapping = isinstance(self.classes, dict) and bool(self.classes)
        require(is_mapping, "class_bank.classes", wanted, self.classes)
        checked = {label: _entry(label, entry) for label, entry in self.classes.items()}
        _refuse_twins(checked)
        object.__setattr__(self, "classes", checked)

    def require_two(self) -> None:
        """Raises: UserFacingError: a study of one class, which has nothing to tell apart."""
        labels = list(self.classes)
        require(len(labels) > 1, "class_bank.classes", "two classes or more", labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels as the corpus spells them, in the order of the configuration."""
        return tuple(self.classes)

    def names(self, label: str) -> tuple[str, ...]:
        """What people call this class; the first name is the one to show.

        Raises: KeyError: no such label.
        """
        return self.classes[label]["names"]

    def sentences(self, label: str) -> tuple[str, ...]:
        """Sentences that describe pictures of this class; may be empty.

        Raises: KeyError: no such label.
        """
        return self.classes[label]["sentences"]

    def prompts(self, label: str) -> tuple[str, ...]:
        """Every template with every name, then the sentences.

        >>> bank = ClassBank(("a photo of {}.",), {"ball": {"names": ["a ball"], "sentences": []}})
        >>> bank.prompts("ball")
        ('a photo of a ball.',)

        Raises: KeyError: no such label.
        """
        filled = (
            template.replace("{}", name)
            for template in self.templates
            for name in self.names(label)
        )
        return (*filled, *self.sentences(label))


def _entry(label: Any, entry: Any) -> dict[str, tuple[str, ...]]:
    """One class's block with its lists as tuples."""
    is_label = isinstance(label, str) and label == label.strip() != ""
    wanted = "labels that are text without outer blanks (a number, yes or no wants quotes)"
    require(is_label, "class_bank.classes", wanted, label)
    where = f"class_bank.classes.{label}"
    wanted = f"a mapping with the keys {' and '.join(_KEYS)} alone"
    require(isinstance(entry, dict) and set(entry) <= set(_KEYS), where, wanted, entry)
    names = _texts(entry.get("names"), f"{where}.names")
    sentences = entry.get("sentences")
    return {
        "names": names,
        "sentences": _texts(sentences, f"{where}.sentences") if sentences else (),
    }


def _texts(value: Any, parameter: str) -> tuple[str, ...]:
    """A non-empty tuple of different, non-blank strings; one string alone is a list of one."""
    values = (value,) if isinstance(value, str) else as_tuple(value, parameter, lambda item: item)
    for text in values:
        is_text = isinstance(text, str) and bool(text.strip())
        require(is_text, parameter, "texts that are not blank", text)
        require(values.count(text) == 1, parameter, "each text once", text)
    return tuple(values)


def _refuse_twins(classes: dict[str, dict[str, tuple[str, ...]]]) -> None:
    """No two labels that differ in case alone, and no name that stands for two labels."""
    owner: dict[str, str] = {}
    for label in classes:
        other = owner.setdefault(label.casefold(), label)
        require(other == label, "class_bank.classes", f"one label for {other}", label)
    owner.clear()
    for label, entry in classes.items():
        for name in entry["names"]:
            other = owner.setdefault(name.casefold(), label)
            wanted = f"names of its own (class {other} has this one)"
            require(other == label, f"class_bank.classes.{label}.names", wanted, name)
