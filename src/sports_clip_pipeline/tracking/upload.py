"""`python -m sports_clip_pipeline.tracking.upload [PROJECT]`: tell MLflow what it missed.

Every record in the outbox goes to the store that its run began in, and leaves the outbox when it is
there. Uploading again, or after half an upload, adds nothing twice.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.tracking.lane import is_gone
from sports_clip_pipeline.tracking.locks import exclusive, is_alive
from sports_clip_pipeline.tracking.operations import End, in_words
from sports_clip_pipeline.tracking.outbox import Kept, kept_records, read_kept
from sports_clip_pipeline.tracking.store import check_store, connect, life_folder, outbox_folder
from sports_clip_pipeline.tracking.writer import Writer


def main() -> None:
    """Upload the project's outbox; exit with 1 and a line where something has to stay."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    project = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[3]
    try:
        left = upload_all(project)
    except UserFacingError as error:
        sys.exit(f"Error: {error}")
    sys.exit(1 if left else 0)


def upload_all(project: Path, say: Callable[[str], None] = print) -> int:
    """Upload every record that waits; how many had to stay.

    Raises: UserFacingError: a store cannot be reached, or a record is damaged.
    """
    place = outbox_folder(project)
    if not kept_records(place):
        say(f"{place}: nothing waits")
        return 0
    with exclusive(place / "lock"):
        return sum(not _upload(folder, life_folder(project), say) for folder in kept_records(place))


def _upload(folder: Path, life: Path, say: Callable[[str], None]) -> bool:
    """Upload one record; whether it is in the store now."""
    if is_alive(life, folder.name):
        say(f"{folder}: its run still goes on; upload it when that has ended")
        return False
    kept = read_kept(folder)
    if kept is not None:
        check_store(kept.header.uri)
        refused = list(send(kept))
        for line in refused:
            say(f"{folder}: {line}; the rest is uploaded; delete the folder to give this up")
        if refused:
            return False
        say(f"{kept.header.uri}: the record of {kept.header.name!r} is whole")
    shutil.rmtree(folder)
    return True


def send(kept: Kept) -> Iterator[str]:
    """Do a record's operations in its store; a line for each that the store finds wrong.

    Raises: UserFacingError: the store stops to answer; what is left stays in the outbox.
    """
    header = kept.header
    client = connect(header.uri)
    runs = {header.record: header.run_id}
    writer = Writer(client, header.experiment_id, runs, again=True)
    for operation in kept.operations:
        try:
            writer.do(operation)
        except Exception as error:
            line = f"{in_words(operation)}: {(str(error) or type(error).__name__).splitlines()[0]}"
            if is_gone(error):
                remedy = "upload again when it answers; nothing is added twice"
                raise UserFacingError(header.uri, line, remedy) from error
            yield line
    if not any(isinstance(op, End) and op.record == header.record for op in kept.operations):
        client.set_terminated(header.run_id, "KILLED")


if __name__ == "__main__":
    main()
