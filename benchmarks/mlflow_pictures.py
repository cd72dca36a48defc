"""The pictures of docs/mlflow.md, taken in MLflow's own pages.

    python benchmarks/mlflow_pictures.py [--out docs/images]

Takes the two latest finished runs with results in the project's store (two runs of the sample with
different settings, say), starts MLflow's server on 127.0.0.1 at a free port, and drives Debian's
Chromium over them. Pictures of the real images never belong into the documentation.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sports_clip_pipeline.tracking.store import TrackingConfig, open_store

PROJECT = Path(__file__).resolve().parents[1]
CHROMIUM = "/usr/bin/chromium"
COLOURS = 256
_HIDE = """place => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) walk.currentNode.data = walk.currentNode.data.replace(place, "…");
}"""


@contextmanager
def pages(project: Path) -> Iterator[tuple[str, Any, str]]:
    """MLflow's address while it runs, a client of the store, and the experiment's id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client, experiment = open_store(TrackingConfig(), project)
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": ""}
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--backend-store-uri", client.tracking_uri],
        env={**os.environ, **quiet},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}", client, experiment
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"{url} does not answer")


def two_runs(client: Any, experiment: str) -> list[Any]:
    """The two latest finished parents with results."""
    query = "tags.pipelines LIKE '%' and attributes.status = 'FINISHED'"
    found = client.search_runs([experiment], query, order_by=["attributes.start_time DESC"])
    having = [run for run in found if "test/zero_shot_top1" in run.data.metrics]
    if len(having) < 2:
        sys.exit("run the sample twice with different settings first")
    return having[:2]


class Camera:
    """Opens pages and writes what they show as small PNG files."""

    def __init__(self, page: Any, out: Path) -> None:
        self.page, self.out = page, out

    def open(self, url: str, text: str) -> None:
        """Go there and wait until `text` is shown."""
        self.page.goto(url)
        self.page.get_by_text(text).first.wait_for(timeout=60_000)
        self.page.wait_for_timeout(2_500)
        if self.page.get_by_text("MLflow Assistant").count():
            self.page.mouse.click(1244, 36)  # its pane has a cross without a name
            self.page.wait_for_timeout(1_000)

    def scroll_to(self, text: str) -> None:
        """Bring what is called `text` to the top of its page."""
        self.page.get_by_text(text).first.evaluate("node => node.scrollIntoView()")
        self.page.wait_for_timeout(1_000)

    def take(self, name: str) -> None:
        """Write `name`.png with few colours: charts and text need no more."""
        from PIL import Image

        path = self.out / f"{name}.png"
        self.page.evaluate(_HIDE, str(PROJECT))
        self.page.screenshot(path=path)
        picture = Image.open(path).convert("RGB")
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def take_pictures(camera: Camera, base: str, client: Any, experiment: str) -> None:
    latest, before = two_runs(client, experiment)
    camera.open(base, "Model training")
    camera.page.get_by_text("Model training").first.click()
    one = f"{base}/#/experiments/{experiment}/runs/{latest.info.run_id}"
    camera.open(one, "this run")
    camera.scroll_to("this run")
    camera.take("mlflow_run")
    camera.open(f"{one}/model-metrics", "learning_curve")
    camera.take("mlflow_charts")
    ids = f"[%22{latest.info.run_id}%22,%22{before.info.run_id}%22]"
    compare = f"{base}/#/compare-runs?runs={ids}&experiments=[%22{experiment}%22]"
    camera.open(compare, "Show diff only")
    camera.page.get_by_text("Show diff only").first.click()
    camera.page.wait_for_timeout(1_000)
    camera.scroll_to("Show diff only")
    camera.take("mlflow_compare_runs")
    study = latest.data.tags["study"]
    camera.open(f"{base}/#/models/{study}", "champion")
    camera.take("mlflow_model")


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=PROJECT / "docs" / "images")
    given = parser.parse_args()
    with pages(PROJECT) as (base, client, experiment), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        take_pictures(Camera(page, given.out), base, client, experiment)
        browser.close()


if __name__ == "__main__":
    main()
