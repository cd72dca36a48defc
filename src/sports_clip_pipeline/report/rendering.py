"""Jinja templates of the package; values are escaped for the markup that they are placed in."""

import base64
import re
from functools import cache
from typing import Any

import jinja2
from jinja2.filters import do_mark_safe

from sports_clip_pipeline.report import formatting

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|])")


@cache
def template(name: str, folder: str = "report/templates") -> jinja2.Template:
    """A template in a folder of the package, with the functions of `formatting` as `fmt`.

    Values are escaped for HTML, in `.md.j2` for Markdown, and in `.txt.j2` not at all.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sports_clip_pipeline", folder),
        autoescape=not name.endswith(".txt.j2"),
        finalize=escape_markdown if name.endswith(".md.j2") else None,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["jpeg_uri"] = jpeg_uri
    environment.globals["fmt"] = formatting
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment.get_template(name)


def escape_markdown(value: Any) -> Any:
    r"""A value escaped for Markdown, on one line; what a template has rendered stays as it is.

    >>> escape_markdown("a_b <i> |")
    Markup('a\\_b \\<i\\> \\|')
    """
    if hasattr(value, "__html__"):
        return value
    text = " ".join(str(value).replace(formatting.SPACE, " ").split())
    return do_mark_safe(_MARKDOWN.sub(r"\\\1", text))


def jpeg_uri(content: bytes) -> str:
    """A JPEG image as a data URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
