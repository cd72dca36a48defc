"""Kedro nodes wired by the names of their arguments, and type names for node signatures.

Kedro resolves the hints of a node when it runs; a hint that does not resolve makes it pass a raw
dict without validation. Type checkers see the real classes here and the running program `object`,
so that starting `kedro` imports none of the heavy libraries.
"""

from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING, Any, get_type_hints

from kedro.pipeline import node
from kedro.pipeline.node import Node

from sports_clip_pipeline.parameters import Parameters

if TYPE_CHECKING:
    import numpy
    import pandas
    import plotly.graph_objects

    Array = numpy.ndarray[Any, Any]
    Table = pandas.DataFrame
    Figure = plotly.graph_objects.Figure
else:
    Array = Table = Figure = object

Arrays = dict[str, Array]
Document = dict[str, Any]


def named_node(func: Callable[..., Any], outputs: Any, name: str = "", **datasets: str) -> Node:
    """A Kedro node with the name of its function, whose arguments are its inputs.

    An argument that is hinted as a parameter block takes that block; any other takes the dataset
    of its own name, or the one that `datasets` names for it.
    """
    arguments = signature(func).parameters.values()
    inputs = {x.name: x.name for x in arguments if x.kind is not x.VAR_KEYWORD} | datasets
    inputs |= {name: f"params:{model.block}" for name, model in block_arguments(func).items()}
    return node(func, inputs, outputs, name=name or func.__name__)


def block_arguments(func: Callable[..., Any]) -> dict[str, type[Parameters]]:
    """The arguments of a function that are hinted as parameter blocks, and their models."""
    hints = get_type_hints(func).items()
    return {n: h for n, h in hints if isinstance(h, type) and issubclass(h, Parameters)}
