"""Type names that node signatures may use without importing what they stand for.

Kedro resolves the hints of a node when it runs; a hint that does not resolve makes it hand over
a raw dict in silence. Type checkers see the real classes here, the running program sees `object`,
so that starting `kedro` imports none of the heavy libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

__all__ = ["Array", "Arrays", "Document", "Figure", "Table"]
