"""Command line of the demo: serves the page on 127.0.0.1 until Ctrl-C."""

import argparse
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from sports_clip_pipeline.errors import UserFacingError

HOST = "127.0.0.1"
PROJECT = Path(__file__).resolve().parents[3]
# By default gradio checks its version and reports its use over the network, and Hugging Face's
# libraries look for encoders on the hub.
OFFLINE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the study, warm up, serve; returns the exit status."""
    parser = argparse.ArgumentParser(
        "python -m sports_clip_pipeline.apps.demo",
        description="A page that classifies one image at a time, on 127.0.0.1.",
    )
    parser.add_argument("--study", default="sample", help="a finished study (default: sample)")
    parser.add_argument("--env", help="its configuration, where it is not that of the same name")
    parser.add_argument("--port", type=int, default=7860, help="default: 7860; 0 takes a free one")
    given = parser.parse_args(arguments)
    os.environ.update(OFFLINE)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST]))
    with tempfile.TemporaryDirectory(prefix="sports_clip_demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            _serve(given, Path(folder))
        except UserFacingError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print()
    return 0


def _serve(given: argparse.Namespace, uploads: Path) -> None:
    if find_spec("gradio") is None:
        remedy = "run `pip install 'sports-clip-pipeline[demo]'`, or `make install`"
        raise UserFacingError("the demo", "gradio is not installed", remedy)
    port = _free_port(given.port)
    print(f"Reading the study {given.study} and warming up …", flush=True)
    from sports_clip_pipeline.apps.demo_study import open_study

    study = open_study(PROJECT, given.study, given.env)
    from sports_clip_pipeline.apps.demo_page import build_page, launch  # after the quick checks

    for image, _ in study.samples[:2]:
        study.predict(image, study.names)
    page = build_page(study, uploads)
    launch(page, HOST, port, uploads)
    print(f"http://{HOST}:{port} shows the study {study.name}; Ctrl-C ends it", flush=True)
    try:
        threading.Event().wait()
    finally:
        page.close(verbose=False)


def _free_port(port: int) -> int:
    """The port, or a free one for 0. Raises: UserFacingError: it is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            remedy = "name another one, or --port 0 for any that is free"
            raise UserFacingError(f"--port {port}", f"cannot be bound ({error})", remedy) from error
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
