from __future__ import annotations

import pytest
import torch

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.training.distributed import Compute, choose_compute


def pretend(monkeypatch: pytest.MonkeyPatch, cuda: bool, bf16: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)


@pytest.mark.parametrize(
    ("cuda", "bf16", "asked", "found"),
    [
        (False, False, ("auto", "auto"), ("cpu", "fp32")),
        (False, False, ("cpu", "bf16"), ("cpu", "bf16")),
        (True, True, ("auto", "auto"), ("cuda", "bf16")),
        (True, False, ("auto", "auto"), ("cuda", "fp16")),
        (True, True, ("cuda", "fp32"), ("cuda", "fp32")),
        (True, True, ("cpu", "auto"), ("cpu", "fp32")),
    ],
)
def test_auto_takes_what_the_machine_is_good_at(
    monkeypatch: pytest.MonkeyPatch,
    cuda: bool,
    bf16: bool,
    asked: tuple[str, str],
    found: tuple[str, str],
) -> None:
    pretend(monkeypatch, cuda, bf16)
    assert choose_compute(*asked) == Compute(*found, compiled=found[0] == "cuda")
    assert choose_compute(*asked, compiled="off") == Compute(*found)
    assert choose_compute(*asked, compiled="on").compiled


def test_a_missing_device_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda=False)
    with pytest.raises(UserFacingError, match=r"parameter pretrain\.device: wanted cuda.*no CUDA"):
        choose_compute("cuda", "auto")


def test_a_precision_is_the_dtype_of_matrix_products() -> None:
    left = torch.ones(2, 2)
    dtypes = {}
    for precision in ("fp32", "bf16", "fp16"):
        with Compute("cpu", precision).autocast():
            dtypes[precision] = (left @ left).dtype
    assert dtypes == {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def test_only_fp16_scales_its_loss() -> None:
    assert [Compute("cpu", p).scaler().is_enabled() for p in ("fp32", "bf16", "fp16")] == [
        False, False, True,
    ]  # fmt: skip
