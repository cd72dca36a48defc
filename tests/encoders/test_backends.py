from pathlib import Path

import numpy as np
import pytest

from sports_clip_pipeline.encoders import backends
from sports_clip_pipeline.encoders.backends import EncoderProgram, build_backend, choose_backend

PIXELS = np.random.default_rng(0).uniform(-1, 1, (3, 3, 64, 64)).astype(np.float32)


@pytest.fixture
def lite0(onnx_folder: Path) -> EncoderProgram:
    return EncoderProgram("image", "lite0", onnx_folder / "lite0-64.onnx", 64)


def test_every_cpu_backend_agrees_with_eager_torch_on_lite0(lite0: EncoderProgram) -> None:
    names = ("torch", "torch_channels_last", "onnxruntime")
    choice = choose_backend(lite0, names, (PIXELS,))
    trials = choice.trials
    assert [trial.backend for trial in trials] == list(names)
    assert all(trial.passed and trial.max_cosine_distance < 1e-4 for trial in trials)
    assert choice.backend == max(trials, key=lambda trial: trial.items_per_s).backend


def test_onnxruntime_agrees_with_torch_at_any_batch_size(lite0: EncoderProgram) -> None:
    torch_run, onnx_run = (build_backend(lite0, name, 1) for name in ("torch", "onnxruntime"))
    for batch in (1, 3):
        for ours, theirs in zip(onnx_run(PIXELS[:batch]), torch_run(PIXELS[:batch]), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-3, rtol=1e-3)


def test_the_onnx_form_is_exported_once(lite0: EncoderProgram) -> None:
    path = backends.export_onnx(lite0)
    before = path.stat().st_mtime_ns
    assert backends.export_onnx(lite0) == path
    assert path.stat().st_mtime_ns == before


def test_a_backend_that_disagrees_is_never_chosen(
    lite0: EncoderProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(program: EncoderProgram, name: str, threads: int) -> backends.Backend:
        features = np.array([[1.0, 0.0]]) if name == "torch" else np.array([[0.0, 1.0]])
        return lambda *inputs: (features,)

    monkeypatch.setattr(backends, "build_backend", build)
    choice = choose_backend(lite0, ("onnxruntime", "torch"), (PIXELS[:1],))
    assert choice.backend == "torch"
    assert [(t.backend, t.passed, t.max_cosine_distance) for t in choice.trials] == [
        ("onnxruntime", False, 1.0),
        ("torch", True, 0.0),
    ]


def test_an_unknown_backend_is_refused(lite0: EncoderProgram) -> None:
    with pytest.raises(ValueError, match=r"backend is one of torch.*'tpu'"):
        build_backend(lite0, "tpu", 1)


@pytest.mark.gpu
def test_cuda_agrees_with_eager_torch(lite0: EncoderProgram) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    choice = choose_backend(lite0, ("torch", "torch_cuda"), (PIXELS,))
    assert all(trial.passed for trial in choice.trials), choice.trials


def test_a_choice_is_measured_once_per_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lite0 = EncoderProgram("image", "lite0", tmp_path / "lite0-64.onnx", 64)
    assert backends.cached_choice(lite0, ("torch",)) is None
    (choice,) = backends.choose_backends([(lite0, ("torch",), (PIXELS,))])
    assert backends.cached_choice(lite0, ("torch",)) == choice
    assert backends.cached_choice(lite0, ("torch", "torch_cuda")) is None
    monkeypatch.setattr(backends, "cores", lambda: 1_000)
    assert backends.cached_choice(lite0, ("torch",)) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"backend": "torch", "trials": [1]}'])
def test_a_damaged_choice_is_measured_again(tmp_path: Path, content: str) -> None:
    lite0 = EncoderProgram("image", "lite0", tmp_path / "lite0-64.onnx", 64)
    backends.choice_path(lite0).write_text(content)
    assert backends.cached_choice(lite0, ("torch",)) is None
