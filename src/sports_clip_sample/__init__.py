"""Generator of the sample: drawn sports scenes in exactly the form of the published corpora."""

from pathlib import Path

__all__ = ["write_sample"]


def write_sample(out: Path, size: int, seed: int) -> None:
    """Write a sample into the folder `out`; see `archives.write_sample`."""
    from sports_clip_sample import archives

    archives.write_sample(Path(out), size, seed)
