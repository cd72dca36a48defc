"""Kedro nodes named after their functions, and type names for node signatures.

Kedro resolves the hints of a node when it runs; a hint that does not resolve makes it pass a raw
dict without validation. Type checkers see the real classes here and the running program `object`,
so that starting `kedro` imports none of the heavy libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kedro.pipeline import node
from kedro.pipeline.node import Node

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


def named_node(func: Callable[..., Any], inputs: Any, outputs: Any) -> Node:
    """A Kedro node with the name of its function, for `kedro run --nodes`."""
    return node(func, inputs, outputs, name=func.__name__)
