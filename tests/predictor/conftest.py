"""The six drawn scenes of the encoder tests."""

from tests.encoders.conftest import pictures

__all__ = ["pictures"]
