"""The project's `kedro run`: Kedro's own, with errors a person can read.

What a user can mend ends in one last line on standard error that names the file, the value and
the remedy, with exit status 1. `kedro run --verbose` shows the traceback as well.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from copy import copy
from functools import wraps
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from sports_clip_pipeline.errors import EarlyExit, UserFacingError
from sports_clip_pipeline.io.state import disk_error
from sports_clip_pipeline.pipeline_registry import ORDER

_VERBOSE = f"{__name__}.verbose"
_REFUSED = re.compile(r"Failed to instantiate \w+ for parameter '(?P<block>[\w.]+)': (?P<why>.+)")


@click.group(name="sports_clip_pipeline")
def cli() -> None:
    """Commands of this project."""


def readable(callback: Callable[..., Any]) -> Callable[..., Any]:
    """The command's callback, with every failure turned into one line."""

    @wraps(callback)
    def run_readably(*args: Any, **kwargs: Any) -> Any:
        for handler in logging.root.handlers:
            handler.addFilter(is_failure_record)
        try:
            return callback(*args, **normalise_options(kwargs))
        except (KeyboardInterrupt, click.exceptions.Exit, click.exceptions.Abort):
            raise
        except Exception as error:
            if told := early_exit_message(error):
                click.echo(told)
                return None
            if click.get_current_context().meta.get(_VERBOSE):
                traceback.print_exc()
            sys.stdout.flush()
            click.echo(f"Error: {one_line(error)}", err=True)
            raise click.exceptions.Exit(1) from error

    return run_readably


def normalise_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options of `kedro run` in the words that Kedro and the registry understand.

    `--pipeline=a` is said as `--pipelines=a`: Kedro still takes the older spelling, with a warning
    that a reader here can do nothing about. Where `predict.images` names photographs, `predict`
    means the pipeline that answers those: Kedro puts pipelines together before it reads parameters.
    """
    if options.get("pipeline") and not options.get("pipelines"):
        options = {**options, "pipeline": None, "pipelines": [options["pipeline"]]}
    asked = (options.get("params") or {}).get("predict")
    if isinstance(asked, dict) and asked.get("images"):
        named = {"predict": "predict_images"}
        wanted = [named.get(name, name) for name in options.get("pipelines") or ORDER]
        return {**options, "pipelines": wanted}
    return options


def one_line(error: BaseException) -> str:
    """The line a user reads for this failure.

    The deepest `UserFacingError` speaks for itself; a failing disk names its file; anything else
    is a defect of ours, and the line says how to see where it happened.
    """
    chain = list(_chain(error))
    for cause in reversed(chain):
        if isinstance(cause, UserFacingError):
            return str(cause)
    for cause in reversed(chain):
        if isinstance(cause, OSError) and cause.strerror:
            return str(disk_error(cause, cause.filename or "a file of the run"))
    text = " ".join(str(error).split())
    refused = _REFUSED.search(text)
    if refused is not None:
        return _parameter_line(refused["block"], refused["why"])
    return f"{type(error).__name__}: {text}; `kedro run --verbose` shows where it happened"


def early_exit_message(error: BaseException) -> str:
    """What a run that ends before its last node told, or nothing where the error is one."""
    return next((str(cause) for cause in _chain(error) if isinstance(cause, EarlyExit)), "")


def is_failure_record(record: logging.LogRecord) -> bool:
    """Whether a line of the log is one to show: Kedro takes every early end for a failure."""
    return not isinstance(sys.exc_info()[1], EarlyExit)


def _parameter_line(block: str, why: str) -> str:
    """What Kedro says of a parameter block that it could not build, in our form."""
    if why.startswith("parameter "):
        return why
    unknown = re.search(r"unexpected keyword argument '(\w+)'", why)
    if unknown is not None:
        name = f"{block}.{unknown[1]}"
        return f"parameter {name}: there is no such field; conf/base/parameters_{block}.yml has all"
    return f"parameter block {block}: {why}; compare it with conf/base/parameters_{block}.yml"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _remember(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    context.meta[_VERBOSE] = value


run = copy(kedro_run)
run.params = [
    *kedro_run.params,
    click.Option(
        ["--verbose", "-v"],
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="Show the traceback too when something fails.",
    ),
]
run.callback = readable(kedro_run.callback)  # type: ignore[arg-type]
cli.add_command(run)
