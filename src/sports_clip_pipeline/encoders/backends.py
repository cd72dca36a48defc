"""Inference backends of an encoder (eager torch, ONNX Runtime) and the choice of the fastest.

The fastest backend that agrees with eager torch is measured once per machine on a block of the
real input; the choice and the inference cost are cached beside the exported encoder.
"""

import json
import platform
import re
import time
import timeit
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sports_clip_pipeline.encoders.weights import is_pair
from sports_clip_pipeline.io.state import write_atomically
from sports_clip_pipeline.machine import cores, exit_with_parent, set_cuda_device

BACKENDS = ("torch", "torch_channels_last", "onnxruntime", "torch_cuda")
PARITY = 1e-4
# Rows of a forward pass: blocks that fit a core's cache are fastest and take the least memory.
ONNX_ROWS = {"image": 2, "text": 16}

_INPUTS = {"image": ["pixels"], "text": ["ids", "mask"]}
_OUTPUTS = {"image": ["features", "logits"], "text": ["features"]}

# Runs an encoder on a batch: inputs (B, …) to outputs (B, …).
Backend = Callable[..., tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class EncoderProgram:
    """An encoder by name and the path of its ONNX form; small enough to send to a process.

    Attributes:
        kind: `image` (pixels → features, logits) or `text` (ids, mask → features).
        encoder: its name.
        onnx_path: the exported form, written when first needed.
        size: side of an image encoder's input, pixels; fixed in the exported form.
        clip_folder: a CLIP folder with trained weights; None for the original weights.
    """

    kind: str
    encoder: str
    onnx_path: Path
    size: int = 0
    clip_folder: Path | None = None

    def module(self) -> Any:
        """The torch module, in eval mode."""
        import torch

        from sports_clip_pipeline.encoders import image_encoders, text_encoders

        image = self.kind == "image"
        load = image_encoders.load_image_encoder if image else text_encoders.load_text_encoder
        encoder = load(self.encoder)
        if self.clip_folder is not None:
            from sports_clip_pipeline.clip.folder import read_image_encoder, read_text_encoder

            trained = (read_image_encoder if image else read_text_encoder)(self.clip_folder)
            if trained:
                encoder.load_state_dict({n: torch.from_numpy(v) for n, v in trained.items()})
        if image:
            return image_encoders.PooledImageEncoder(encoder).eval()
        if is_pair(self.encoder):
            return encoder
        return text_encoders.PooledTextEncoder(encoder).eval()


class Trial(NamedTuple):
    """Measurement of one backend: wall-clock rate, parity, processor time (on CUDA wall-clock)."""

    backend: str
    items_per_s: float
    max_cosine_distance: float
    passed: bool
    core_ms_per_item: float


class BackendChoice(NamedTuple):
    """The chosen backend, and the measurements of all candidates."""

    backend: str
    trials: tuple[Trial, ...]

    @property
    def core_ms_per_item(self) -> float:
        """Inference cost: milliseconds of one core per image and view, without decoding."""
        return next(t.core_ms_per_item for t in self.trials if t.backend == self.backend)


def candidates(program: EncoderProgram) -> tuple[str, ...]:
    """The backends to measure on this machine: CUDA where there is a device.

    ONNX Runtime is left out for open_clip pairs, whose export is not supported.
    """
    import torch

    if torch.cuda.is_available():
        return ("torch", "torch_cuda")
    layouts = ("torch", "torch_channels_last") if program.kind == "image" else ("torch",)
    return layouts if is_pair(program.encoder) else (*layouts, "onnxruntime")


def build_backend(program: EncoderProgram, name: str, threads: int) -> Backend:
    """The named backend of an encoder. Raises: ValueError: unknown name."""
    if name not in BACKENDS:
        raise ValueError(f"backend is one of {', '.join(BACKENDS)}, got {name!r}")
    if name == "onnxruntime":
        return _onnx_backend(program, threads)
    return _torch_backend(program, name, threads)


def choose_backend(
    program: EncoderProgram, names: Sequence[str], inputs: Sequence[np.ndarray]
) -> BackendChoice:
    """The fastest of the named backends, on one thread, that agrees with eager torch.

    Agreement: every row's cosine distance to eager torch's features is at most 1e-4.
    """
    from sklearn.metrics.pairwise import paired_cosine_distances

    reference = build_backend(program, "torch", 1)(*inputs)[0]
    trials = []
    for name in names:
        backend = build_backend(program, name, 1)
        elapsed_s = min(timeit.repeat(partial(backend, *inputs), number=1, repeat=2))
        start = time.process_time()
        features = backend(*inputs)[0]
        busy_s = elapsed_s if name == "torch_cuda" else time.process_time() - start
        distance = float(paired_cosine_distances(features, reference).max())
        items = len(inputs[0])
        trials.append(
            Trial(name, items / elapsed_s, distance, distance <= PARITY, 1000 * busy_s / items)
        )
    best = max((trial for trial in trials if trial.passed), key=lambda trial: trial.items_per_s)
    return BackendChoice(best.backend, tuple(trials))


def choose_backends(
    tasks: Sequence[tuple[EncoderProgram, Sequence[str], Sequence[np.ndarray]]],
) -> list[BackendChoice]:
    """`choose_backend` for several encoders in parallel processes; caches each choice.

    Processes of their own release the memory of torch's export and of the trials.
    """
    if all(len(names) == 1 for _, names, _ in tasks):
        choices = [choose_backend(*task) for task in tasks]
    else:
        context, workers = get_context("spawn"), min(len(tasks), cores())
        with ProcessPoolExecutor(workers, context, _begin_trial, max_tasks_per_child=1) as pool:
            choices = list(pool.map(choose_backend, *zip(*tasks, strict=True)))
    for (program, _, _), choice in zip(tasks, choices, strict=True):
        trials = [trial._asdict() for trial in choice.trials]
        record = {"machine": _machine(), "backend": choice.backend, "trials": trials}
        write_atomically(choice_path(program), (json.dumps(record, indent=2) + "\n").encode())
    return choices


def choice_path(program: EncoderProgram) -> Path:
    """The file of an encoder's cached choice, beside its exported form."""
    return program.onnx_path.with_suffix(".backend.json")


def cached_choice(program: EncoderProgram, names: Sequence[str]) -> BackendChoice | None:
    """The choice among these candidates as measured before on this machine, or None."""
    try:
        record = json.loads(choice_path(program).read_text())
        choice = BackendChoice(record["backend"], tuple(Trial(**t) for t in record["trials"]))
    except (OSError, ValueError, TypeError, LookupError):
        return None
    same_names = [trial.backend for trial in choice.trials] == list(names)
    return choice if record["machine"] == _machine() and same_names else None


def _machine() -> str:
    """Processor and usable cores."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(errors="replace") if cpuinfo.is_file() else ""
    model = re.search(r"^model name\s*:(.*)", text, re.MULTILINE)
    processor = model[1].strip() if model else platform.processor() or platform.machine()
    return f"{processor}, {cores()} cores"


def _begin_trial() -> None:
    exit_with_parent()
    set_cuda_device()


def export_onnx(program: EncoderProgram) -> Path:
    """Write the encoder's ONNX form to `program.onnx_path` unless it exists; return the path."""
    if program.onnx_path.exists():
        return program.onnx_path
    import torch

    axes: dict[int, Any] = {0: torch.export.Dim("batch")}
    example = [torch.zeros(2, 3, program.size, program.size)]
    if program.kind == "text":
        axes[1] = torch.export.Dim("tokens")
        example = [torch.ones(2, 7, dtype=torch.int64) for _ in range(2)]
    exported = export_quietly(
        program.module(),
        tuple(example),
        dynamic_shapes=(axes,) * len(example),
        input_names=_INPUTS[program.kind],
        output_names=_OUTPUTS[program.kind],
    )
    write_atomically(program.onnx_path, exported.model_proto.SerializeToString())
    return program.onnx_path


def export_quietly(module: Any, example: tuple[Any, ...], **options: Any) -> Any:
    """`torch.onnx.export` without its warnings and log lines."""
    import logging
    import warnings

    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.onnx.export(module, example, dynamo=True, verbose=False, **options)


def onnx_session(path: Path, threads: int) -> Any:
    """An ONNX Runtime session on the CPU; 0 threads means one for each core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _onnx_backend(program: EncoderProgram, threads: int) -> Backend:
    session = onnx_session(export_onnx(program), threads)
    rows, names = ONNX_ROWS[program.kind], _INPUTS[program.kind]

    def run(*inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        outputs = []
        for start in range(0, len(inputs[0]), rows):
            block = [array[start : start + rows] for array in inputs]
            outputs.append(session.run(None, dict(zip(names, block, strict=True))))
        return tuple(np.concatenate(blocks) for blocks in zip(*outputs, strict=True))

    return run


def _torch_backend(program: EncoderProgram, name: str, threads: int) -> Backend:
    import torch

    device = torch.device("cuda" if name == "torch_cuda" else "cpu")
    plain = name == "torch" or program.kind == "text"
    layout = torch.contiguous_format if plain else torch.channels_last
    torch.set_num_threads(threads)
    module = program.module().to(device, memory_format=layout)

    def run(*inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        tensors = [torch.from_numpy(block).to(device) for block in inputs]
        tensors = [tensor.contiguous(memory_format=layout) for tensor in tensors]
        with torch.inference_mode():
            outputs = module(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(output.float().cpu().numpy() for output in outputs)

    return run
