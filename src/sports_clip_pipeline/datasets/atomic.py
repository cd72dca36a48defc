"""Saving beside the place and renaming into it, for any file dataset of kedro-datasets."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from sports_clip_pipeline.journal.disk import replacing_file
from sports_clip_pipeline.journal.disk_refusals import naming_file


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
