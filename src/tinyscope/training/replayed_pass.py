"""A pass through a network on a CPU, forward and backward, as its bare operations."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tinyscope.training.cuda_graph import Pass
from tinyscope.training.operation_program import Program
from tinyscope.training.recorder import (
    Operation,
    Recorder,
    outside,
    same_calls,
)

_MOST_BYTES = 128 * 2**20
"""Of values computed in a pass; with more, operations are long, and their starts do not count."""


class ReplayedPass:
    """A pass on a CPU that is recorded for each shape of batch, then replayed.

    With few images at a time, a third to more than half of a step goes into what surrounds the
    arithmetic: layers, autocast, autograd, views, allocation. A replay calls torch's operations
    alone (`Program`), the same ones in the same order, and so gives the same bit for bit: the first
    pass of a shape is computed as usual, the next two are recorded, and what they call has to be
    the same; then the second of them is replayed and has to give the same again. Where it does not,
    where a network reads a number back, or where a recording would hold too much, all passes are
    computed as usual. What Python's code begins to do otherwise only later is not seen.

    Args:
        compute: the pass. Tensors that are there before may change from call to call in place.
        parameters: that get gradients.
    """

    def __init__(self, compute: Pass, parameters: Sequence[Tensor]) -> None:
        self._compute = compute
        self._parameters = [each for each in parameters if each.requires_grad]
        self._seen: set[_Shape] = set()
        self._recorded: dict[_Shape, _Recording] = {}
        self._replays: dict[_Shape, _Replay] = {}
        self._can_be_replayed = True

    def __call__(self, batch: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """What `compute` answers; tensors that the next call may overwrite."""
        shape = (batch.shape, batch.dtype, batch.stride())
        if shape in self._replays:
            return self._replays[shape].run(batch, labels)
        for each in self._parameters:
            each.grad = None
        if not self._can_be_replayed or shape not in self._seen:
            self._seen.add(shape)
            return self._compute(batch, labels)
        if shape not in self._recorded:
            recording = self._record(batch.clone(), labels.clone())
            reads_back = any(each.reads_back for each in recording.operations)
            if recording.operations and not reads_back:
                self._recorded[shape] = recording
            else:
                self._give_up()
            return recording.answers
        return self._record_again(shape, batch, labels)

    def _record(self, batch: Tensor, labels: Tensor) -> "_Recording":
        with Recorder(most_bytes=_MOST_BYTES) as recorder:
            answers = self._compute(batch, labels)
        gradients = [(each, each.grad) for each in self._parameters]
        return _Recording(recorder.operations, batch, labels, answers, gradients)

    def _record_again(self, shape: "_Shape", batch: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """A second recording, which is replayed from then on if a replay gives the same."""
        first = self._recorded.pop(shape)
        before = _State(outside(first.operations))
        second = self._record(first.batch.copy_(batch), first.labels.copy_(labels))
        if same_calls(first.operations, second.operations):
            there = outside(second.operations)
            after = _State([*there, *second.ends])
            before.put_back(there)
            replay = _Replay(second)
            replayed = replay.run(batch, labels)
            gradients = [each.grad for each in self._parameters if each.grad is not None]
            if after == _State([*there, *replayed, *gradients]):
                self._replays[shape] = replay
                return replayed
            after.put_back([*there, *second.ends])
            for parameter, gradient in second.gradients:
                parameter.grad = gradient
        self._give_up()
        self._replays.clear()  # What holds for this shape may hold for the others.
        return second.answers

    def _give_up(self) -> None:
        self._can_be_replayed = False
        self._recorded.clear()


_Shape = tuple[object, ...]


@dataclass(frozen=True)
class _Recording:
    """The operations of a pass, and what it took and gave."""

    operations: Sequence[Operation]
    """None at all where they would hold too much."""
    batch: Tensor
    labels: Tensor
    answers: tuple[Tensor, ...]
    gradients: Sequence[tuple[Tensor, Tensor | None]]
    """Each parameter with its gradient."""

    @property
    def ends(self) -> list[Tensor]:
        """The answers and the gradients."""
        return [*self.answers, *(each for _, each in self.gradients if each is not None)]


class _Replay:
    """A recording as the calls that are left of it."""

    def __init__(self, recording: _Recording) -> None:
        self._program = Program(recording.operations, recording.ends)
        self._batch, self._labels = recording.batch, recording.labels
        self._answers, self._gradients = recording.answers, recording.gradients

    def run(self, batch: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """What `ReplayedPass` answers for a batch; it leaves the gradients too."""
        end = self._program.end
        self._batch.copy_(batch)
        self._labels.copy_(labels)
        self._program.run()
        for parameter, gradient in self._gradients:
            parameter.grad = None if gradient is None else end(gradient)
        return tuple(end(each) for each in self._answers)


class _State:
    """The values of tensors, and where torch's generator is."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.values = [each.detach().clone() for each in tensors]
        self.chance = torch.get_rng_state()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _State)
            and torch.equal(self.chance, other.chance)
            and all(map(_equal, self.values, other.values))
        )

    @torch.no_grad()
    def put_back(self, tensors: Sequence[Tensor]) -> None:
        """Gives the tensors their values of then, and the generator its place."""
        for each, value in zip(tensors, self.values, strict=True):
            each.copy_(value)
        torch.set_rng_state(self.chance)


def _equal(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors hold the same, places without a number included."""
    return bool(((first == second) | ((first != first) & (second != second))).all())
