"""What is kept for a store that does not answer."""

import dataclasses
import json
from pathlib import Path

import pytest

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.tracking.operations import (
    Begin,
    Compare,
    End,
    File,
    Register,
    Text,
    Values,
    from_json,
    to_json,
)
from sports_clip_pipeline.tracking.outbox import Header, Outbox, kept_records, read_kept

HEADER = Header("http://127.0.0.1:1", "1", "run", "abc", "a run")
ALL = [
    Begin("child", "arm 0", {"study": "sample"}, 5),
    Values("child", {"seed": "0"}, [["test/top1", 0.5, 7, 0]], {"a": "b"}),
    Text("abc", "x\né", "tables/a.csv"),
    Compare("abc", "sample"),
    End("abc", "FINISHED", 9),
]


@pytest.mark.parametrize("operation", ALL)
def test_an_operation_survives_json(operation):
    assert from_json(json.loads(json.dumps(to_json(operation)))) == operation


def test_operations_come_back_in_the_order_of_their_numbers(tmp_path):
    box = Outbox(tmp_path, HEADER)
    for number in (3, 1, 2):
        box.keep(number, ALL[number])
    box.close()
    kept = read_kept(tmp_path / "abc")
    assert (kept.header, list(kept.operations)) == (HEADER, ALL[1:4])


def test_the_process_that_ends_the_run_is_read_last(tmp_path):
    own = Outbox(tmp_path, HEADER)
    own.keep(1, ALL[4])
    worker = Outbox(tmp_path, dataclasses.replace(HEADER, owner=False))
    worker.keep(9, ALL[0])
    own.close()
    worker.close()
    kept = read_kept(tmp_path / "abc")
    assert (list(kept.operations), kept.header.owner) == ([ALL[0], ALL[4]], True)


@pytest.mark.parametrize("torn", [b'{"n": 2, "do": "en', b'{"n": 2}', b"\xff"])
def test_a_half_written_last_line_is_ignored(tmp_path, torn):
    box = Outbox(tmp_path, HEADER)
    box.keep(1, ALL[0])
    box.close()
    (path,) = (tmp_path / "abc").glob("*.jsonl")
    path.write_bytes(path.read_bytes() + torn)
    assert list(read_kept(tmp_path / "abc").operations) == [ALL[0]]


@pytest.mark.parametrize("line", [b"no json\n", b'{"n": 2, "do": "sing"}\n', b'{"do": "end"}\n'])
def test_a_whole_line_that_says_nothing_is_told_with_its_file(tmp_path, line):
    box = Outbox(tmp_path, HEADER)
    box.keep(1, ALL[0])
    box.close()
    (path,) = (tmp_path / "abc").glob("*.jsonl")
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(UserFacingError, match=str(path)):
        read_kept(tmp_path / "abc")


def test_files_are_kept_as_they_were(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.json").write_text("first")
    box = Outbox(tmp_path / "outbox", HEADER)
    box.keep(1, File("abc", str(tmp_path / "model" / "a.json"), "tables"))
    box.keep(2, Register("abc", str(tmp_path / "model"), "sample", 0.5, "e", 10))
    box.close()
    (tmp_path / "new").write_text("second")
    (tmp_path / "new").replace(tmp_path / "model" / "a.json")
    one, folder = read_kept(tmp_path / "outbox" / "abc").operations
    kept = [Path(one.source), Path(folder.source, "a.json")]
    assert [path.read_text() for path in kept] == ["first", "first"]
    assert kept_records(tmp_path / "outbox") == [tmp_path / "outbox" / "abc"]


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "files/../../secret"])
def test_no_file_from_outside_the_record_is_uploaded(tmp_path, place):
    box = Outbox(tmp_path, HEADER)
    (tmp_path / "a").write_text("a")
    box.keep(1, File("abc", str(tmp_path / "a"), None))
    box.close()
    (path,) = (tmp_path / "abc").glob("*.jsonl")
    header, line = path.read_text().splitlines()
    path.write_text(f"{header}\n{json.dumps({**json.loads(line), 'source': place})}\n")
    with pytest.raises(UserFacingError, match="outside the record"):
        read_kept(tmp_path / "abc")
