"""Base classes of the Kedro datasets: atomic save and required fields."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from kedro.io import AbstractDataset

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.state import naming_file, replacing_file

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


class PlacedDataset(AbstractDataset[Saved, Loaded], Generic[Saved, Loaded]):
    """A file or a folder of its own; `load` and `save` are the subclass's."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Say where it stands.

        Args:
            filepath: of the file or folder.
            metadata: what the catalog says of it to Kedro-Viz and to the tracking hook.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def require_promised(
    place: object, promised: Sequence[str], there: Collection[str], made_by: str
) -> None:
    """Refuse a file that lacks something.

    Args:
        place: the file. promised: names of what it must hold. there: of what it holds.
        made_by: the pipeline that makes it; to be run again.
    Raises: UserFacingError: one is missing, as in a file that an older version has written.
    """
    missing = [name for name in promised if name not in there]
    if missing:
        raise UserFacingError(
            place,
            f"{', '.join(missing)} missing: another version of the project wrote it",
            f"make it again with `kedro run --pipelines={made_by}`",
        )


class AtomicSave:
    """Mixin: what a dataset saves appears whole at its path, or not at all.

    The class mixed in writes to `_get_save_path()`; while it does, that is a partial file in
    the same folder, which is then renamed. Versioned datasets are not supported.
    """

    _partial: PurePosixPath | None = None

    def save(self, data: Any) -> None:
        """Write beside the place, then rename. Raises: UserFacingError: the disk refuses."""
        final = Path(str(super()._get_save_path()))  # type: ignore[misc]
        try:
            with naming_file(final), replacing_file(final) as partial:
                self._partial = PurePosixPath(partial)
                super().save(data)  # type: ignore[misc]
        finally:
            self._partial = None

    def _get_save_path(self) -> PurePosixPath:
        return self._partial or super()._get_save_path()  # type: ignore[misc]
