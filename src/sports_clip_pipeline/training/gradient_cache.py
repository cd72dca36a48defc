"""Gradient cache (GradCache): the gradients of a whole batch, in chunks that fit the memory.

A contrastive loss sees all pairs of the batch, so summing the losses of chunks is another loss.
Here all embeddings are computed first, without graphs; the loss of all gives the gradient of each
embedding; then chunk after chunk is computed again, from the same random state, and that gradient
goes back through it. The result is the gradient of one graph over the same chunks.

Source: Gao et al. 2021 (GradCache), section 3; Cui et al. 2022, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

# Image and caption embeddings (n, D), (m, D) of one chunk, and whatever else goes into the loss;
# the gradient of that is no matter of the chunks.
Chunk = Callable[[], tuple[torch.Tensor, ...]]


def backward_in_chunks(
    model: nn.Module,
    chunks: Sequence[Chunk],
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    scaled: Callable[[torch.Tensor], torch.Tensor],
    device: str,
    no_sync: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> torch.Tensor:
    """Add the gradients of the loss over all chunks to the model's parameters.

    Each chunk is run twice; statistics of batch norms are moved once, by the second run.

    Args:
        chunks: are run in this order, each with what it draws from torch's generators.
        loss_of: the loss () of all image embeddings (N, D) and caption embeddings (M, D).
        scaled: the loss as its gradient is taken; of a scaler for half precision, or itself.
        no_sync: surrounds all chunks but the last one, as DDP's `no_sync` does: gradients are
            exchanged between processes once.
    Returns: the loss, detached.
    """
    before, parts = [], []
    with torch.no_grad(), _frozen_statistics(model):
        for chunk in chunks:
            before.append(_generators(device))
            parts.append(chunk()[:2])
    after = _generators(device)
    image, text = (torch.cat(side).requires_grad_() for side in zip(*parts, strict=True))
    loss = loss_of(image, text)
    scaled(loss).backward()
    sizes = [[len(part[side]) for part in parts] for side in (0, 1)]
    gradients = [
        _gradient(side).split(size) for side, size in zip((image, text), sizes, strict=True)
    ]
    for number, (chunk, state, *gradient) in enumerate(
        zip(chunks, before, *gradients, strict=True)
    ):
        _restore(state, device)
        with nullcontext() if number == len(chunks) - 1 else no_sync():
            embedded = chunk()
            rest = [torch.zeros_like(value) for value in embedded[2:]]
            torch.autograd.backward(embedded, (*gradient, *rest))
    _restore(after, device)
    return loss.detach()


def _gradient(leaf: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _generators(device: str) -> tuple[torch.Tensor, ...]:
    """The states of torch's generators: the CPU's, and the device's."""
    cpu = torch.get_rng_state()
    return (cpu, torch.cuda.get_rng_state()) if device == "cuda" else (cpu,)


def _restore(states: tuple[torch.Tensor, ...], device: str) -> None:
    torch.set_rng_state(states[0])
    if device == "cuda":
        torch.cuda.set_rng_state(states[1])


@contextmanager
def _frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norms normalise as they do, and their running statistics stay."""
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
    ]
    momenta = [norm.momentum for norm in norms]
    counts = [
        None if n.num_batches_tracked is None else n.num_batches_tracked.clone() for n in norms
    ]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            if count is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)
