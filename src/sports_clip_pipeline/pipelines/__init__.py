"""The pipelines: a package a stage, with its nodes, their wiring and its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro.pipeline.node import Node


def named_node(func: Callable[..., Any], inputs: Any, outputs: Any) -> Node:
    """A Kedro node with the name of its function, for `kedro run --nodes`."""
    # An exported predictor imports settings from this package without Kedro.
    from kedro.pipeline import node

    return node(func, inputs, outputs, name=func.__name__)
