"""The sample: drawn sports scenes in exactly the form of the published corpora."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_sample"]


def write_sample(out: Path, size: int, seed: int) -> None:
    """Write a sample into the folder `out`; see `writer.write_sample`.

    Raises: UserFacingError: a size or seed out of range, or a folder that cannot be written.
    """
    from sports_clip_pipeline.sample import writer

    writer.write_sample(Path(out), size, seed)
