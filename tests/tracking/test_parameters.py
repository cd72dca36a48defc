"""Configuration as flat parameters."""

from dataclasses import dataclass, field

import numpy as np

from sports_clip_pipeline.tracking.parameters import (
    NAME_LIMIT,
    VALUE_LIMIT,
    as_text,
    flatten,
    safe_name,
)


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5


@dataclass(frozen=True)
class Block:
    fractions: tuple[float, ...] = (0.01, 1.0)
    inner: Inner = field(default_factory=Inner)
    classes: dict = field(default_factory=lambda: {"badminton": {"names": ("badminton",)}})
    tower: str = "lite2"
    limit: int | None = None
    locked: bool = True


def test_every_field_is_one_parameter():
    assert flatten("finetune", Block()) == {
        "finetune.fractions": "[0.01, 1.0]",
        "finetune.inner.rate": "0.5",
        "finetune.classes": '{"badminton": {"names": ["badminton"]}}',
        "finetune.tower": "lite2",
        "finetune.limit": "null",
        "finetune.locked": "true",
    }


def test_a_raw_block_has_the_names_of_its_dataclass():
    raw = {"fractions": [0.01, 1.0], "tower": "lite2", "inner": Inner()}
    flat = flatten("finetune", raw)
    assert flat == {name: flatten("finetune", Block())[name] for name in flat}
    assert set(flat) == {"finetune.fractions", "finetune.tower", "finetune.inner.rate"}


def test_names_do_not_depend_on_the_classes_of_a_study():
    other = Block(classes={"judo": {"names": ("judo",)}})
    assert flatten("b", Block()).keys() == flatten("b", other).keys()


def test_a_long_value_is_cut_and_told_apart_by_its_digest():
    one, other = "a" * 7000, "a" * 6999 + "b"
    assert len(as_text(one)) == VALUE_LIMIT
    assert as_text(one)[:5900] == as_text(other)[:5900]
    assert as_text(one) != as_text(other)
    assert as_text("a" * VALUE_LIMIT) == "a" * VALUE_LIMIT


def test_what_json_does_not_know_is_still_readable():
    assert as_text(np.float32(0.5)) == "0.5"
    assert as_text({2, 1}) == "[1, 2]"


def test_a_name_that_mlflow_refuses_is_replaced_and_stays_unique():
    assert safe_name("a.b/c d-e_1") == "a.b/c d-e_1"
    assert safe_name("été") != safe_name("àtà")
    assert safe_name("été").isascii()
    assert len(safe_name("x" * 400)) == NAME_LIMIT
