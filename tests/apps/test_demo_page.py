"""The demo's HTML, its uploads, and the middleware in front of a tiny application."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from sports_clip_pipeline.apps.demo_page import (
    MAX_JSON_BYTES,
    RequestCheck,
    error_html,
    predictions_html,
    theme,
    uploaded_bytes,
)
from sports_clip_pipeline.apps.demo_study import InvalidInput, Prediction

NAMES = tuple(f"name_{n}" for n in range(7))
STUDY = SimpleNamespace(
    bank=SimpleNamespace(labels=NAMES),
    finetuned=SimpleNamespace(origin={"labels": 1234, "fraction": 0.25}),
)


def ranked(*names: str) -> tuple[tuple[str, float], ...]:
    return tuple((name, 2.0 ** -(n + 1)) for n, name in enumerate(names))


def html(zero_shot: Prediction) -> str:
    return predictions_html((zero_shot, Prediction(ranked(*NAMES), b"jpeg", "GradCAM")), STUDY)


def test_typed_names_are_escaped() -> None:
    typed = '<img src=x onerror="alert(1)">'
    shown = html(Prediction(ranked(typed, 'a "b" & c'), b"jpeg", "GradCAM"))
    assert "<img src=x" not in shown and 'onerror="' not in shown
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;" in shown
    assert "a &#34;b&#34; &amp; c" in shown
    assert "<script" not in error_html("<script>x</script>")


def test_the_first_names_are_shown_and_the_rest_folded() -> None:
    shown = html(Prediction(ranked("tennis", "chess"), None, "There is no map: a sentence."))
    zero_shot, finetuned = shown.split('aria-label="Fine-tuned"')
    assert "details" not in zero_shot and "There is no map: a sentence." in zero_shot
    assert "<summary>2 more names</summary>" in finetuned
    assert finetuned.count('<tr><th scope="row"') == len(NAMES)
    assert "1,234 labels (25\u00a0%); 7 classes of the study alone" in finetuned
    assert 'style="width:50.0%"' in finetuned and "50.0\u00a0%" in finetuned
    assert "name 0" in finetuned and "name_0" not in finetuned


def test_the_theme_names_fonts_of_the_system_alone() -> None:
    css = theme()._get_theme_css()
    assert "--font: system-ui, -apple-system" in css
    assert "@import" not in css and 'url("http' not in css and not theme()._stylesheets


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    (folder / "abc").mkdir(parents=True)
    (folder / "abc" / "photo.png").write_bytes(b"an image")
    (tmp_path / "secret.png").write_bytes(b"of somebody else")
    (folder / "abc" / "link.png").symlink_to(tmp_path / "secret.png")
    return folder


FORGED = (
    "/etc/passwd", "{uploads}/../secret.png", "{uploads}/abc/link.png", "{uploads}/abc",
    "{uploads}/abc/lost.png", "abc/photo.png", "http://127.0.0.1:9/photo.png",
    "https://example.org/photo.png", "{uploads}/abc/photo.png\0.txt", ["/etc/passwd"], 7,
)  # fmt: skip


@pytest.mark.parametrize("path", [*FORGED, None])
def test_only_a_regular_file_of_the_upload_folder_is_read(uploads: Path, path: object) -> None:
    assert uploaded_bytes({"path": str(uploads / "abc" / "photo.png")}, uploads) == b"an image"
    forged = path.format(uploads=uploads) if isinstance(path, str) else path
    for upload in ({"path": forged}, SimpleNamespace(path=forged), {}, "photo.png", None):
        with pytest.raises(InvalidInput):
            uploaded_bytes(upload, uploads)


JSON = (b"content-type", b"application/json")
HERE = (b"host", b"127.0.0.1:7860")


def send_request(
    uploads: Path,
    body: bytes,
    method: str = "POST",
    headers: tuple[tuple[bytes, bytes], ...] = (HERE, JSON),
) -> tuple[int, dict[bytes, bytes], bytes, bytes | None]:
    """Status, headers and body of the response, and the body that reached the application."""
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

    length = (b"content-length", str(len(body)).encode())
    scope = {"type": "http", "method": method, "path": "/", "headers": [*headers, length]}
    anyio.run(RequestCheck(application, uploads), scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"], (reached or [None])[0]


def request(path: object) -> bytes:
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return json.dumps({"data": [file, "tennis, chess"], "fn_index": 0}).encode()


def test_a_request_for_an_upload_passes_whole_and_gets_the_policy(uploads: Path) -> None:
    body = request(str(uploads / "abc" / "photo.png"))
    status, headers, response, reached = send_request(uploads, body)
    assert (status, response, reached) == (200, b"passed", body)
    assert b"connect-src 'self'" in headers[b"content-security-policy"]
    assert send_request(uploads, b'{"data": [null, "tennis"], "path": ""}')[0] == 200


@pytest.mark.parametrize("path", FORGED)
def test_a_forged_file_never_reaches_the_application(uploads: Path, path: object) -> None:
    forged = path.format(uploads=uploads) if isinstance(path, str) else path
    nested = json.dumps({"event_data": {"deep": [{"path": forged}]}}).encode()
    for body in (request(forged), nested):
        status, _, response, reached = send_request(uploads, body)
        assert status == 403 and reached is None
        assert json.loads(response)["error"].endswith("was not uploaded here.")


def test_requests_under_another_host_name_are_rejected(uploads: Path) -> None:
    for host in (b"evil.example:7860", b"", b"127.0.0.1.evil.example"):
        status, _, _, reached = send_request(uploads, b"{}", "GET", ((b"host", host),))
        assert status == 403 and reached is None
    assert send_request(uploads, b"{}", "GET", ((b"host", b"localhost:7860"),))[0] == 200


def test_long_requests_and_invalid_json_are_rejected(uploads: Path) -> None:
    long = json.dumps({"data": ["x" * MAX_JSON_BYTES]}).encode()
    assert send_request(uploads, long)[0] == 413
    for unknown in ((b"content-length", b"many"), (b"transfer-encoding", b"chunked")):
        assert send_request(uploads, b"{}", headers=(HERE, JSON, unknown))[0] == 413
    assert send_request(uploads, b"not a request")[0] == 400
    assert send_request(uploads, b"[" * 20_000)[0] == 400


def test_uploads_are_passed_to_gradio_which_limits_their_size(uploads: Path) -> None:
    form = (b"content-type", b"multipart/form-data; boundary=x")
    body = b"x" * (MAX_JSON_BYTES + 1)
    status, _, _, reached = send_request(uploads, body, headers=(HERE, form))
    assert status == 200 and reached == body[:10]
