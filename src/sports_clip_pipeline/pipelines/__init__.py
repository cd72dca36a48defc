"""The pipelines: a package a stage, with its nodes, their wiring and its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedro.pipeline import node
from kedro.pipeline.node import Node


def named_node(func: Callable[..., Any], inputs: Any, outputs: Any) -> Node:
    """A Kedro node with the name of its function, for `kedro run --nodes`."""
    return node(func, inputs, outputs, name=func.__name__)
