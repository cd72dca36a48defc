"""The demo end to end: the real process, a real browser, the small finished study."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browsing import axe_findings, headless_chromium
from tests.conftest import command, error_line

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TIMEOUT_MS = 30_000
DEMO = ("sports_clip_pipeline.apps.demo", "--port", "0")


@pytest.fixture(scope="module")
def address(finished_run: Path) -> Iterator[str]:
    """The page of the finished study; it ends on Ctrl-C and leaves nothing behind."""
    environment = {**os.environ, "PYTHONPATH": str(finished_run / "src"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", *DEMO],
        cwd=finished_run, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    found = re.match(r"(http://127\.0\.0\.1:\d+) shows the study sample", lines[1])
    if found is None:
        process.kill()
        raise AssertionError(f"{lines}\n{process.communicate()}")
    yield found[1]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in errors, errors


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with headless_chromium() as chromium:
        yield chromium


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page; afterwards nothing may have failed or been asked for elsewhere."""
    contexts, troubles, requests = [], [], []

    def opened(width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda line: troubles.append(line.text) if line.type == "error" else 0)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        page.wait_for_selector("#names textarea")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []
    elsewhere = [url for url in requests if not url.startswith((address, "data:", "blob:"))]
    assert elsewhere == []


@pytest.fixture(scope="module")
def image_bytes() -> bytes:
    sink = io.BytesIO()
    Image.radial_gradient("L").resize((320, 200)).convert("RGB").save(sink, "JPEG")
    return sink.getvalue()


def upload(page: Any, content: bytes, name: str = "photo.jpg", kind: str = "image/jpeg") -> None:
    page.set_input_files(
        "#photo input[type=file]", {"name": name, "mimeType": kind, "buffer": content}
    )


def names_of(page: Any, title: str) -> list[str]:
    """Names of one prediction, the most probable first."""
    section = page.get_by_role("region", name=title)
    section.wait_for()
    return section.locator("tbody th").all_text_contents()


def test_an_upload_gets_two_predictions_with_a_map_each(open_page: Any, image_bytes: bytes) -> None:
    page = open_page()
    upload(page, image_bytes)
    assert len(names_of(page, "Zero-shot")) == len(names_of(page, "Fine-tuned")) == 8
    for title in ("Zero-shot", "Fine-tuned"):
        section = page.get_by_role("region", name=title)
        picture = section.get_by_role("img", name=re.compile("Class activation map"))
        assert picture.evaluate("image => image.naturalWidth") == 448
        shares = [
            float(text.split()[0]) for text in section.locator("tbody td").all_text_contents()
        ]
        assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=1)


def test_other_names_change_zero_shot_alone(open_page: Any, image_bytes: bytes) -> None:
    page = open_page()
    upload(page, image_bytes)
    before = names_of(page, "Fine-tuned")
    page.get_by_label("Class names for zero-shot").fill("a lamp\nthe moon, <b>a face</b>")
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("region", name="Zero-shot").get_by_text("the moon").first.wait_for()
    assert set(names_of(page, "Zero-shot")) == {"a lamp", "the moon", "<b>a face</b>"}
    assert names_of(page, "Fine-tuned") == before
    page.get_by_role("button", name="The study’s own names").click()
    page.wait_for_function("document.querySelector('#names textarea').value.includes('tennis')")


def test_a_sample_of_the_study_is_predicted_at_a_click(open_page: Any) -> None:
    page = open_page()
    page.locator("#samples button.thumbnail-item").first.click()
    assert len(names_of(page, "Zero-shot")) == 8
    page.wait_for_selector("#photo img")
    first = names_of(page, "Fine-tuned")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_timeout(500)
    assert names_of(page, "Fine-tuned") == first


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"no image at all", "This file is no image"), (b"\xff\xd8\xff\xe0", "image")],
)
def test_garbage_gets_a_sentence(open_page: Any, content: bytes, sentence: str) -> None:
    page = open_page()
    upload(page, content)
    alert = page.get_by_role("alert").filter(has_text=sentence)
    alert.wait_for()
    assert "Traceback" not in alert.inner_text()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (768, "light"), (1280, "light")])
def test_the_page_fits_its_window_and_axe_finds_nothing_serious(
    open_page: Any, image_bytes: bytes, width: int, scheme: str
) -> None:
    page = open_page(width, color_scheme=scheme)
    upload(page, image_bytes)
    names_of(page, "Fine-tuned")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    grave, held = axe_findings(page)
    assert grave == set()
    assert held > 10


def post(address: str, route: str, body: bytes, kind: str = "application/json") -> tuple[int, str]:
    asked = urllib.request.Request(f"{address}{route}", body, {"content-type": kind})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("path", ["/etc/passwd", "{study}", "http://127.0.0.1:1/photo.jpg"])
def test_a_forged_path_gets_an_error(address: str, finished_run: Path, path: str) -> None:
    report = finished_run / "data/08_reporting/sample/report.html"
    named = {"path": path.format(study=report), "meta": {"_type": "gradio.FileData"}}
    request = {"data": [named, "tennis, chess"], "fn_index": 0, "session_hash": "forged"}
    for route in ("/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/call/answer"):
        status, text = post(address, route, json.dumps(request).encode())
        assert status == 403 and "not uploaded here" in text
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}/gradio_api/file={report}", timeout=10)
    with refused.value as error:
        assert error.code == 403


def test_too_large_an_upload_is_refused(address: str) -> None:
    start = b'--x\r\ncontent-disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    body = start + bytes(21 * 1000 * 1000) + b"\r\n--x--\r\n"
    status, _ = post(address, "/gradio_api/upload", body, "multipart/form-data; boundary=x")
    assert status == 413


@pytest.mark.parametrize("route", ["/docs", "/openapi.json", "/gradio_api/runs", "/monitoring"])
def test_unused_routes_do_not_exist(address: str, route: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(f"{address}{route}", timeout=10)
    with missing.value as error:
        assert error.code in (403, 404)


def test_without_a_finished_study_one_line_says_what_to_run(
    empty_project: Path, finished_run: Path
) -> None:
    line = error_line(command(empty_project, *DEMO))
    assert "the study sample is not finished" in line and "run `make run` first" in line
    line = error_line(command(empty_project, *DEMO, "--study", "real"))
    assert "run `kedro run --env=real` first" in line
    line = error_line(command(finished_run, *DEMO, "--study", "mine"))
    assert line.endswith(
        "run `kedro run --params=study=mine` first, or name a finished study: --study sample"
    )
