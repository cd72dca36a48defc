"""The registered model: its champion, and what its real server answers."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.predictor import Predictor, load_predictor
from sports_clip_pipeline.tracking.ending import evaluation_print
from sports_clip_pipeline.tracking.operations import Register
from sports_clip_pipeline.tracking.registry import judge, requirements
from sports_clip_pipeline.tracking.store import connect
from tests.tracking.server import free_port, wait_until_answers

CLASSES = ("Baseball", "Chess", "Kabaddi")


def _wanted(top1=0.8, evaluation="e1"):
    return Register("r", "p", "sample", top1, evaluation, 157)


def _champion(top1="0.800000", evaluation="e1"):
    return SimpleNamespace(version="3", tags={"top1": top1, "evaluation": evaluation})


@pytest.mark.parametrize(
    ("wanted", "before", "moves", "says"),
    [
        (_wanted(), None, True, "first version"),
        (_wanted(0.81), _champion(), True, "version 3 had 80.00%"),
        (_wanted(0.80), _champion(), False, "version 3 has 80.00%"),
        (_wanted(0.79), _champion(), False, "no: 79.00% of 157 photographs"),
        (_wanted(0.99, "e2"), _champion(), False, "judged on other photographs"),
    ],
)
def test_the_champion_gives_way_only_to_a_better_one_on_the_same_photographs(
    wanted, before, moves, says
):
    moved, why = judge(wanted, before)
    assert moved is moves
    assert says in why


def test_evaluation_photographs_are_told_by_name_label_and_data_in_any_order():
    judged = pd.DataFrame({"image": ["b", "a"], "label": ["Chess", "Judo"], "extra": [1, 2]})
    same = evaluation_print(judged.iloc[::-1], "d1")
    assert evaluation_print(judged, "d1") == same
    assert evaluation_print(judged, "d2") != same
    assert evaluation_print(judged.assign(label=["Judo", "Judo"]), "d1") != same


def test_requirements_are_pinned_and_name_no_pickle():
    found = requirements()
    assert any(line.startswith("mlflow==") for line in found)
    assert all("==" in line and "cloudpickle" not in line for line in found)


@pytest.fixture
def predictor(tmp_path):
    weight = np.random.default_rng(0).normal(size=(3, 1280)).astype(np.float32)
    arrays = {"weight": weight, "bias": np.zeros(3, np.float32)}
    head = Head((Operation("l2_normalise"), Operation("affine", arrays)))
    folder = tmp_path / "predictor"
    Predictor(
        CLASSES, "lite0", image_preprocessing("lite0", 64, "full"), head, temperature=0.2
    ).save(folder)
    return folder


def _photograph(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 60, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def _ask(url, document):
    request = urllib.request.Request(
        url, json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_champion_is_served_and_answers_as_the_predictor_does(start, predictor, tmp_path):
    numbers = []
    for top1 in (0.8, 0.7, 0.9):
        run = start()
        run.put(Register(run.record, str(predictor), "sample", top1, "e1", 157, {"method": "m"}))
        run.finish("FINISHED")
        numbers.append(connect(run.store.uri).search_model_versions(f"run_id='{run.run_id}'")[0])
    client = connect(run.store.uri)
    assert [str(number.version) for number in numbers] == ["1", "2", "3"]
    assert str(client.get_model_version_by_alias("sample", "champion").version) == "3"
    why = client.get_model_version("sample", "2").tags["champion"]
    assert why == "no: 70.00% of 157 photographs, version 1 has 80.00% of the same"
    model = tmp_path / "downloaded"
    model.mkdir()
    client.download_artifacts(run.run_id, "model", str(model))
    assert not [path for path in model.rglob("*") if path.suffix in (".pkl", ".pickle")]
    described = (model / "model" / "MLmodel").read_text()
    assert "signature" in described
    assert "saved_input_example_info" in described
    assert str(tmp_path / "predictor") not in described, "it says nothing of this machine"

    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/sample@champion"),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
    ]
    environment = _environment(run.store.uri)
    with (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        wait_until_answers(f"http://127.0.0.1:{port}/ping", process)
        url = f"http://127.0.0.1:{port}/invocations"
        photographs = [_photograph(seed) for seed in range(3)]
        texts = [base64.b64encode(content).decode() for content in photographs]
        status, answer = _ask(url, {"inputs": texts})
        assert status == 200, answer
        images = [Image.open(io.BytesIO(content)).convert("RGB") for content in photographs]
        wanted = load_predictor(predictor).predict_images(images)
        got = answer["predictions"]
        served = [[row["probabilities"][name] for name in CLASSES] for row in got]
        np.testing.assert_allclose(served, wanted, atol=1e-5)
        assert [row["label"] for row in got] == [CLASSES[place] for place in wanted.argmax(axis=1)]
        for garbage in (
            {"inputs": ["not base64!"]},
            {"inputs": [base64.b64encode(b"no photograph").decode()]},
            {"inputs": [texts[0], base64.b64encode(photographs[0][:40]).decode()]},
            {"inputs": [3]},
            {"inputs": []},
            {"nothing": 1},
        ):
            status, text = _ask(url, garbage)
            assert status == 400, (garbage, status, text)
    finally:
        _end(process)


def _environment(uri):
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # uvicorn is there
    own = {"PATH": beside, "MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**os.environ, **own}


def _end(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
