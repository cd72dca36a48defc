"""The gate before gradio, in front of a tiny application that tells what reached it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from sports_clip_pipeline.apps.gate import MOST_JSON_BYTES, Gate

JSON = (b"content-type", b"application/json")
HERE = (b"host", b"127.0.0.1:7860")


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    (folder / "abc").mkdir(parents=True)
    (folder / "abc" / "photo.png").write_bytes(b"a photograph")
    (tmp_path / "secret.png").write_bytes(b"of somebody else")
    (folder / "abc" / "link.png").symlink_to(tmp_path / "secret.png")
    return folder


def ask(
    uploads: Path,
    body: bytes,
    method: str = "POST",
    headers: tuple[tuple[bytes, bytes], ...] = (HERE, JSON),
) -> tuple[int, dict[bytes, bytes], bytes, bytes | None]:
    """Status, headers and body of the answer, and the body that the application got."""
    reached: list[bytes] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"passed"})

    sent: list[dict[str, Any]] = []
    parts = [body[:10], body[10:]]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "headers": list(headers)}
    anyio.run(Gate(application, uploads), scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"], (reached or [None])[0]


def question(path: object) -> bytes:
    named = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return json.dumps({"data": [named, "tennis, chess"], "fn_index": 0}).encode()


def test_a_question_about_an_upload_passes_whole_and_gets_the_policy(uploads: Path) -> None:
    body = question(str(uploads / "abc" / "photo.png"))
    status, headers, answer, reached = ask(uploads, body)
    assert (status, answer, reached) == (200, b"passed", body)
    assert b"connect-src 'self'" in headers[b"content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "{uploads}/../secret.png",
        "{uploads}/abc/link.png",
        "{uploads}/abc",
        "{uploads}/abc/lost.png",
        "abc/photo.png",
        "http://127.0.0.1:9/photo.png",
        "https://example.org/photo.png",
        "{uploads}/abc/photo.png\0.txt",
        ["/etc/passwd"],
        7,
    ],
)
def test_a_forged_file_never_reaches_the_page(uploads: Path, path: object) -> None:
    named = path.format(uploads=uploads) if isinstance(path, str) else path
    for body in (question(named), json.dumps({"event_data": {"deep": [{"path": named}]}}).encode()):
        status, _, answer, reached = ask(uploads, body)
        assert status == 403 and reached is None
        assert json.loads(answer)["error"].endswith("was not uploaded here.")


def test_a_question_without_a_file_passes(uploads: Path) -> None:
    assert ask(uploads, b'{"data": [null, "tennis"], "path": ""}')[0] == 200


def test_a_page_elsewhere_that_borrows_another_name_is_refused(uploads: Path) -> None:
    for host in (b"evil.example:7860", b"", b"127.0.0.1.evil.example"):
        status, _, _, reached = ask(uploads, b"{}", "GET", ((b"host", host),))
        assert status == 403 and reached is None
    assert ask(uploads, b"{}", "GET", ((b"host", b"localhost:7860"),))[0] == 200


def test_long_questions_and_what_is_no_json_are_refused(uploads: Path) -> None:
    long = json.dumps({"data": ["x" * MOST_JSON_BYTES]}).encode()
    assert ask(uploads, long)[0] == 413
    assert ask(uploads, b"not a question")[0] == 400
    assert ask(uploads, b"[" * 20_000)[0] == 400


def test_uploads_are_left_to_gradio_which_limits_their_size(uploads: Path) -> None:
    form = (b"content-type", b"multipart/form-data; boundary=x")
    body = b"x" * (MOST_JSON_BYTES + 1)
    parts = ask(uploads, body, headers=(HERE, form))
    assert parts[0] == 200 and parts[3] == body[:10]
