"""The registered model: its champion, and its predictions by `mlflow models serve`."""

import base64
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests

from sports_clip_pipeline.encoders.image_encoders import image_preprocessing
from sports_clip_pipeline.predictor.head import Head, Operation
from sports_clip_pipeline.predictor.predictor import EncoderInput, Predictor, load_predictor
from sports_clip_pipeline.tracking.registry import compare, register, version_tags
from tests.data.factories import encoded, random_image
from tests.tracking.server import free_port, wait_until_answers

CLASSES = ("Baseball", "Chess", "Kabaddi")


def _tags(validation=0.8, split="e1", labels="88", top1=0.5):
    score = {"validation_top1": f"{validation:.6f}", "top1": f"{top1:.6f}"}
    return score | {"labels": labels, "split_fingerprint": split}


@pytest.mark.parametrize(
    ("tags", "champion", "moves"),
    [
        (_tags(), None, True),
        (_tags(0.81), _tags(), True),
        (_tags(0.80), _tags(), False),
        (_tags(0.79), _tags(), False),
        (_tags(0.99, "e2"), _tags(), False),
        (_tags(0.99, labels="880"), _tags(), False),
        (_tags(0.79, top1=0.99), _tags(), False),
        (_tags(0.81, top1=0.01), _tags(), True),
    ],
)
def test_the_champion_is_replaced_only_by_a_better_one_on_the_same_held_out_labels(
    tags, champion, moves
):
    assert compare(tags, champion)[0] is moves


def test_the_fingerprint_depends_on_names_labels_and_data_but_not_on_order():
    def fingerprint(table, digest):
        metrics = {"best_method": "ridge", "origin": {"fraction": 1.0}, "top1": 0.5}
        run = {"data_digest": digest, "git.commit": "c"}
        return version_tags(table, metrics, run)["split_fingerprint"]

    tested = pd.DataFrame({"image": ["b", "a"], "label": ["Chess", "Judo"], "extra": [1, 2]})
    same = fingerprint(tested.iloc[::-1], "d1")
    assert fingerprint(tested, "d1") == same
    assert fingerprint(tested, "d2") != same
    assert fingerprint(tested.assign(label=["Judo", "Judo"]), "d1") != same


@pytest.fixture
def predictor(tmp_path):
    weight = np.random.default_rng(0).normal(size=(3, 1280)).astype(np.float32)
    arrays = {"weight": weight, "bias": np.zeros(3, np.float32)}
    head = Head((Operation("l2_normalise"), Operation("affine", arrays)))
    folder = tmp_path / "predictor"
    encoders = (EncoderInput("lite0", image_preprocessing("lite0", 64, "full"), (), 1280),)
    Predictor(CLASSES, encoders, head, temperature=0.2).save(folder)
    return folder


def test_the_champion_is_served_and_predicts_like_the_predictor(start, client, predictor, tmp_path):
    tested = pd.DataFrame({"image": ["a", "b"], "label": CLASSES[:2]})
    for top1, held_out in ((0.9, 0.8), (0.95, 0.7), (0.6, 0.9)):
        run = start(**{"git.commit": "c"})
        metrics = {"best_method": "ridge", "origin": {"cv_top1": held_out}, "top1": top1}
        run.call(register, predictor, "sample", tested, metrics)
        run.finish("FINISHED")
    assert str(client.get_model_version_by_alias("sample", "champion").version) == "3"
    assert (
        client.get_model_version("sample", "2")
        .tags["champion"]
        .startswith("no: 70.00% of held-out")
    )
    model = tmp_path / "downloaded"
    model.mkdir()
    client.download_artifacts(run.run_id, "model", str(model))
    assert not [path for path in model.rglob("*") if path.suffix in (".pkl", ".pickle")]
    described = (model / "model" / "MLmodel").read_text()
    assert "signature" in described and "saved_input_example_info" in described
    assert str(tmp_path / "predictor") not in described, "no path of this machine"

    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/sample@champion"),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of uvicorn
    own = {"MLFLOW_TRACKING_URI": client.tracking_uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = {**os.environ, **own, "PATH": path}
    with (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        wait_until_answers(f"http://127.0.0.1:{port}/ping", process)
        url = f"http://127.0.0.1:{port}/invocations"
        images = [random_image(seed) for seed in range(3)]
        texts = [base64.b64encode(encoded(image, "PNG")).decode() for image in images]
        response = requests.post(url, json={"inputs": texts}, timeout=60)
        assert response.status_code == 200, response.text
        expected = load_predictor(predictor).predict_images(images)
        rows = response.json()["predictions"]
        served = [[row["probabilities"][name] for name in CLASSES] for row in rows]
        np.testing.assert_allclose(served, expected, atol=1e-5)
        assert [row["label"] for row in rows] == [CLASSES[i] for i in expected.argmax(axis=1)]
        no_image = base64.b64encode(b"no image").decode()
        for inputs in (["not base64!"], [no_image], [texts[0], texts[0][:56]], [3], []):
            response = requests.post(url, json={"inputs": inputs}, timeout=60)
            assert response.status_code == 400, (inputs, response.text)
        assert requests.post(url, json={"nothing": 1}, timeout=60).status_code == 400
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
