"""Saving beside the place and renaming into it, for any file dataset of kedro-datasets."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any


class AtomicSave:
    """Mixin: what a dataset saves appears whole at its path, or not at all.

    The class mixed in writes to `_get_save_path()`; while it does, that is a partial file in
    the same folder, which is then renamed. Versioned datasets are not supported.
    """

    _partial: PurePosixPath | None = None

    def save(self, data: Any) -> None:
        """Write beside the place, then rename."""
        final = Path(str(super()._get_save_path()))  # type: ignore[misc]
        final.parent.mkdir(parents=True, exist_ok=True)
        self._partial = PurePosixPath(final.with_name(f".{final.name}.{os.getpid()}.partial"))
        try:
            super().save(data)  # type: ignore[misc]
            Path(self._partial).replace(final)
        finally:
            Path(self._partial).unlink(missing_ok=True)
            self._partial = None

    def _get_save_path(self) -> PurePosixPath:
        return self._partial or super()._get_save_path()  # type: ignore[misc]
