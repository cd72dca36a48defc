"""The project's `kedro run`: Kedro's own, with one-line errors.

An error that a user can mend ends in one last line on standard error that names the file, the
value and the remedy, with exit status 1. `kedro run --verbose` shows the traceback as well.
"""

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from copy import copy
from functools import wraps
from pathlib import Path
from textwrap import shorten
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from sports_clip_pipeline.errors import EarlyExit, UserFacingError
from sports_clip_pipeline.io.state import disk_error
from sports_clip_pipeline.pipeline_registry import ORDER

_VERBOSE = f"{__name__}.verbose"
_INVALID = re.compile(r"Failed to instantiate \w+ for parameter '(?P<block>[\w.]+)': (?P<why>.+)")


@click.group(name="sports_clip_pipeline")
def cli() -> None:
    """Commands of this project."""


@cli.command()
@click.option("--env", "-e", help="Environment of conf/, such as real; base by default.")
@click.option("--markdown", is_flag=True, help="Print docs/reference/parameters.md instead.")
def config(env: str | None, markdown: bool) -> None:
    """Print every parameter with its value, origin and description."""
    from kedro.framework.session import KedroSession

    from sports_clip_pipeline import parameter_reference as reference
    from sports_clip_pipeline.parameters import as_text

    if markdown:
        click.echo(reference.markdown(), nl=False)
        return
    project = Path.cwd()
    with KedroSession.create(project_path=project, env=env) as session:
        loader = session.load_context().config_loader  # type: ignore[attr-defined]
        for setting, value, origin in reference.resolved(loader, project / "conf"):
            text = shorten(as_text(value), 400, placeholder=" …")
            click.echo(f"{setting.name} = {text}  [{origin}]")
            click.echo(f"    {setting.description}")


def with_one_line_errors(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a command's callback so that every failure is printed as one line."""

    @wraps(callback)
    def run_command(*args: Any, **kwargs: Any) -> Any:
        for handler in logging.root.handlers:
            handler.addFilter(is_failure_record)
        try:
            return callback(*args, **normalise_options(kwargs))
        except (KeyboardInterrupt, click.exceptions.Exit, click.exceptions.Abort):
            raise
        except Exception as error:
            if message := early_exit_message(error):
                click.echo(message)
                return None
            if click.get_current_context().meta.get(_VERBOSE):
                traceback.print_exc()
            sys.stdout.flush()
            click.echo(f"Error: {one_line(error)}", err=True)
            raise click.exceptions.Exit(1) from error

    return run_command


def normalise_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options of `kedro run` as Kedro and the registry take them.

    `--pipeline=a` becomes `--pipelines=a` (Kedro warns of the older spelling). Where
    `predict.images` names images, `predict` means the pipeline `predict_images`: Kedro composes
    pipelines before it reads parameters.
    """
    if options.get("pipeline") and not options.get("pipelines"):
        options = {**options, "pipeline": None, "pipelines": [options["pipeline"]]}
    predict = (options.get("params") or {}).get("predict")
    if isinstance(predict, dict) and predict.get("images"):
        names = options.get("pipelines") or ORDER
        named = ["predict_images" if name == "predict" else name for name in names]
        return {**options, "pipelines": named}
    return options


def one_line(error: BaseException) -> str:
    """The error line: of the deepest `UserFacingError`, else of an `OSError`, else of a defect."""
    chain = list(_chain(error))
    for cause in reversed(chain):
        if isinstance(cause, UserFacingError):
            return str(cause)
    for cause in reversed(chain):
        if isinstance(cause, OSError) and cause.strerror:
            return str(disk_error(cause, cause.filename or "a file of the run"))
    text = " ".join(str(error).split())
    invalid = _INVALID.search(text)
    if invalid is None:
        return f"{type(error).__name__}: {text}; `kedro run --verbose` shows where it happened"
    block, why = invalid["block"], invalid["why"]
    if why.startswith("parameter "):
        return why
    return f"parameter block {block}: {why}; compare it with conf/base/parameters_{block}.yml"


def early_exit_message(error: BaseException) -> str:
    """The message of a run that ended early without an error, or an empty text."""
    return next((str(cause) for cause in _chain(error) if isinstance(cause, EarlyExit)), "")


def is_failure_record(record: logging.LogRecord) -> bool:
    """Log filter: drop what Kedro logs about an early exit, which it takes for a failure."""
    return not isinstance(sys.exc_info()[1], EarlyExit)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _set_verbose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    context.meta[_VERBOSE] = value


run = copy(kedro_run)
run.params = [
    *kedro_run.params,
    click.Option(
        ["--verbose", "-v"],
        is_flag=True,
        expose_value=False,
        callback=_set_verbose,
        help="Show the traceback too when something fails.",
    ),
]
run.callback = with_one_line_errors(kedro_run.callback)  # type: ignore[arg-type]
cli.add_command(run)
