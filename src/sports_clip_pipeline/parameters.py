"""Base class and field types of the typed parameter blocks (pydantic models).

Every block of `conf/*/parameters_*.yml` is one `Parameters` model that stands beside the nodes of
its pipeline; Kedro builds it from the type hint of a `params:` input before any node runs.
"""

import difflib
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import to_jsonable_python

from sports_clip_pipeline.errors import UserFacingError

REMEDY = "change it in conf/ or --params"


class Parameters(BaseModel):
    """A frozen parameter block that refuses unknown fields and values of the wrong type.

    A subclass names its block in `conf/` as `class X(Parameters, block="x")`; a model that is
    nested in another one names none.

    Raises: UserFacingError: names the field, what was wanted and what came (of a nested model
        that is built alone, pydantic's ValidationError).
    """

    # Validators are built when a model is first used: `kedro` imports all of them at start-up.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, defer_build=True
    )
    block: ClassVar[str] = ""

    def __init_subclass__(cls, block: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.block = block

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_field(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            model = handler(value)
            model.check()
            return model
        except ValidationError as error:
            if not cls.block:
                raise
            raise _user_facing(cls, error) from error
        except ValueError as error:
            raise UserFacingError(f"parameter {cls.block}", str(error), REMEDY) from error

    def check(self) -> None:
        """Checks of fields against each other. Raises: ValueError: says what was wanted."""


def as_text(value: Any) -> str:
    """A value of a parameter as JSON, a text as it is unless it is empty."""
    plain = to_jsonable_python(value, fallback=str)
    return plain if isinstance(plain, str) and plain else json.dumps(plain, ensure_ascii=False)


def flatten(name: str, value: Any, separator: str = ".") -> dict[str, Any]:
    """The leaves of nested mappings and pydantic models by flat name, such as `block.field`."""
    if hasattr(value, "model_dump"):
        value = dict(value)
    if not isinstance(value, Mapping) or not value:
        return {name: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= flatten(f"{name}{separator}{key}" if name else key, inner, separator)
    return flat


def _user_facing(model: type[Parameters], error: ValidationError) -> UserFacingError:
    """The first problem of a block as one line."""
    problem = error.errors()[0]
    where = ".".join([f"parameter {model.block}", *map(str, problem["loc"])])
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(problem["loc"][-1]), model.model_fields, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return UserFacingError(where, "there is no such field", f"{hint}see `make config`")
    if problem["type"] == "missing":
        return UserFacingError(where, "wanted a value, got none", "set it in conf/")
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    wanted = message.replace("Input should be ", "wanted ", 1)
    if not wanted.startswith("wanted "):
        wanted = f"wanted {wanted}"
    return UserFacingError(where, f"{wanted}, got {problem['input']!r}", REMEDY)


def _split(cast: Callable[[str], Any]) -> BeforeValidator:
    """Reads a list, a single value, or `a+b` (`--params` splits at commas) as a tuple."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            try:
                return tuple(cast(part.strip()) for part in value.split("+") if part.strip())
            except ValueError:
                raise ValueError(f"wanted {cast.__name__} values, as a list or a+b") from None
        return tuple(value) if isinstance(value, (list, tuple)) else (value,)

    return BeforeValidator(read)


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("wanted no value twice")
    if any(isinstance(value, str) and not value.strip() for value in values):
        raise ValueError("wanted texts that are not blank")
    return values


def filled(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Validator of a tuple with at least one value."""
    if not values:
        raise ValueError("wanted at least one value")
    return values


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("wanted text that is not blank")
    return text


def choices(*allowed: str) -> AfterValidator:
    """Validator of a text, or of each text of a tuple, that is one of `allowed`."""

    def check(value: Any) -> Any:
        for text in (value,) if isinstance(value, str) else value:
            if text not in allowed:
                raise ValueError(f"wanted one of {', '.join(sorted(allowed))}")
        return value

    return AfterValidator(check)


def between(low: float, high: float, *, open_low: bool = False) -> AfterValidator:
    """Validator of a tuple whose values lie in [low, high], or in (low, high]."""

    def check(values: tuple[float, ...]) -> tuple[float, ...]:
        if not all(low < value <= high if open_low else low <= value <= high for value in values):
            raise ValueError(f"wanted values in {'(' if open_low else '['}{low:g}, {high:g}]")
        return values

    return AfterValidator(check)


Text = Annotated[str, AfterValidator(_not_blank)]
Sentence = Annotated[Text, AfterValidator(lambda text: " ".join(text.split()))]
Words = Annotated[tuple[str, ...], _split(str), AfterValidator(_unique)]
"""A tuple of different texts, written as a list or as `a+b`; may be empty."""
Names = Annotated[Words, AfterValidator(filled)]
Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    AfterValidator(_unique),
]
"""A tuple of different texts in which `+` has no meaning; may be empty."""
Floats = Annotated[
    tuple[float, ...], _split(float), AfterValidator(_unique), AfterValidator(filled)
]
Ints = Annotated[tuple[int, ...], _split(int), AfterValidator(_unique), AfterValidator(filled)]
Fractions = Annotated[Floats, between(0.0, 1.0, open_low=True)]
"""Shares of the labels, in (0, 1]."""
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
