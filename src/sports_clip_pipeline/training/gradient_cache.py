"""Gradient caching (GradCache): gradients of a whole contrastive batch, in chunks.

A contrastive loss spans all pairs of the batch: the sum of the chunks' losses is another loss.
All embeddings are computed first, without graphs; the loss over them gives their gradients; then
each chunk is computed again, from the same random state, and the gradients of its embeddings are
backpropagated. The result is the gradient of one graph over the same chunks.

Source: Gao et al. 2021 (GradCache), section 3; Cui et al. 2022, section 3.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

# Image and caption embeddings (n, D), (m, D) of one chunk; further outputs get no gradient.
Chunk = Callable[[], tuple[torch.Tensor, ...]]


def backward_in_chunks(
    model: nn.Module,
    chunks: Sequence[Chunk],
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    scale_loss: Callable[[torch.Tensor], torch.Tensor],
    device: str,
    no_sync: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> torch.Tensor:
    """Accumulate the gradients of the loss over all chunks.

    Each chunk is run twice; running statistics of batch norms are updated by the second run only.

    Args:
        loss_of: loss () of all image embeddings (N, D) and caption embeddings (M, D).
        scale_loss: such as `GradScaler.scale`.
        no_sync: DDP's `no_sync`, entered for all chunks but the last.
    Returns: the loss, detached.
    """
    states, embedded = [], []
    with torch.no_grad(), _restored_statistics(model):
        for chunk in chunks:
            states.append(_rng_state(device))
            embedded.append(chunk()[:2])
    final_state = _rng_state(device)
    leaves = [torch.cat(side).requires_grad_() for side in zip(*embedded, strict=True)]
    loss = loss_of(*leaves)
    scale_loss(loss).backward()
    gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    sizes = [[len(rows[side]) for rows in embedded] for side in (0, 1)]
    image, text = (values.split(size) for values, size in zip(gradients, sizes, strict=True))
    for number, (chunk, *gradient) in enumerate(zip(chunks, image, text, strict=True)):
        _set_rng_state(states[number], device)
        with nullcontext() if number == len(chunks) - 1 else no_sync():
            outputs = chunk()
            rest = [torch.zeros_like(value) for value in outputs[2:]]
            torch.autograd.backward(outputs, (*gradient, *rest))
    _set_rng_state(final_state, device)
    return loss.detach()


def _rng_state(device: str) -> list[torch.Tensor]:
    """States of the CPU's generator, and of the device's."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if device == "cuda" else [])]


def _set_rng_state(states: list[torch.Tensor], device: str) -> None:
    torch.set_rng_state(states[0])
    if device == "cuda":
        torch.cuda.set_rng_state(states[1])


@contextmanager
def _restored_statistics(model: nn.Module) -> Iterator[None]:
    """Running statistics of batch norms are restored on exit."""
    saved = [
        (buffer, buffer.clone())
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for buffer in module.buffers(recurse=False)
    ]
    yield
    for buffer, value in saved:
        buffer.copy_(value)
