"""A pass through a network, forward and backward, as a CUDA graph: launched at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Pass = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""Takes a batch and its labels, leaves gradients in the parameters, and answers tensors."""

_LAUNCHED_FIRST = 3
"""Passes of a shape before it is recorded: in them cuDNN and cuBLAS choose and allocate."""


class CudaGraphPass:
    """A pass on a GPU that is recorded once for each shape of batch, then replayed.

    Kernels of small images last a few microseconds, less than Python needs to launch the next one;
    a replay launches all of them at once (Gray 2019, "Getting Started with CUDA Graphs"). The first
    passes of a shape are launched as usual, on a stream of their own as recording asks for, so that
    each pass is a real one; the same kernels run either way. A network that cannot be recorded,
    because it reads a number back from the GPU for instance, is launched as usual for good.

    Args:
        compute: the pass; only tensors on the GPU may change from call to call.
        parameters: that get gradients.
    """

    def __init__(self, compute: Pass, parameters: Sequence[Tensor]) -> None:
        self._compute = compute
        self._parameters = [each for each in parameters if each.requires_grad]
        self._stream = torch.cuda.Stream()
        self._memory = torch.cuda.graph_pool_handle()
        self._launched: dict[tuple[object, ...], int] = {}
        self._recorded: dict[tuple[object, ...], _Recording] = {}
        self._can_be_recorded = True

    def __call__(self, batch: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """What `compute` answers; tensors that the next call may overwrite."""
        shape = (batch.shape, batch.dtype, batch.stride())
        if shape in self._recorded:
            return self._recorded[shape].replay(batch, labels)
        self._launched[shape] = self._launched.get(shape, 0) + 1
        if self._can_be_recorded and self._launched[shape] > _LAUNCHED_FIRST:
            recording = self._record(batch, labels)
            if recording is not None:
                self._recorded[shape] = recording
                return recording.replay(batch, labels)
        return self._launch(batch, labels)

    def _launch(self, batch: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._forget_gradients()
            answers = self._compute(batch, labels)
        torch.cuda.current_stream().wait_stream(self._stream)
        return answers

    def _record(self, batch: Tensor, labels: Tensor) -> "_Recording | None":
        batch, labels = batch.clone(), labels.clone()
        graph = torch.cuda.CUDAGraph()
        self._forget_gradients()
        try:
            with torch.cuda.graph(graph, pool=self._memory, stream=self._stream):
                answers = self._compute(batch, labels)
        except RuntimeError:
            self._can_be_recorded = False
            torch.cuda.synchronize()
            return None
        gradients = [(each, each.grad) for each in self._parameters]
        return _Recording(graph, batch, labels, answers, gradients)

    def _forget_gradients(self) -> None:
        for each in self._parameters:
            each.grad = None


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    batch: Tensor
    labels: Tensor
    answers: tuple[Tensor, ...]
    gradients: Sequence[tuple[Tensor, Tensor | None]]
    """Each parameter with the memory that its gradient is written to."""

    def replay(self, batch: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        self.batch.copy_(batch)
        self.labels.copy_(labels)
        self.graph.replay()
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        return self.answers
