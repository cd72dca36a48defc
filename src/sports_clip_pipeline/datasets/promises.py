"""What a file has to hold, and what is said where another version of the project wrote it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sports_clip_pipeline.errors import UserFacingError


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
