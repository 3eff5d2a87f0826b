"""torch's operations as some code calls them, below its layers, autocast and autograd."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

_READ_BACK = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


@dataclass(frozen=True)
class Operation:
    """One call of one of torch's operations."""

    function: Any
    """A `torch._ops.OpOverload`, such as `torch.ops.aten.mm.default`."""
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    results: list[Tensor]
    """The tensors that it gave, whatever else it gave left out."""

    @cached_property
    def taken(self) -> list[Tensor]:
        """The tensors among its arguments, those that it writes to too."""
        return tensors_in((self.arguments, self.options))

    @cached_property
    def written(self) -> list[Tensor]:
        """The tensors among its arguments that it writes to, by its schema."""
        schema = self.function._schema.arguments
        named = dict(zip((each.name for each in schema), self.arguments, strict=False))
        named |= self.options
        return tensors_in(
            [
                named.get(each.name)
                for each in schema
                if each.alias_info is not None and each.alias_info.is_write
            ]
        )

    @property
    def is_random(self) -> bool:
        """Whether it draws from a generator."""
        return torch.Tag.nondeterministic_seeded in self.function.tags

    @property
    def reads_back(self) -> bool:
        """Whether a number from a tensor decides what Python does next, or a result's shape."""
        return not _READ_BACK.isdisjoint(self.function.tags)


class Recorder(TorchDispatchMode):
    """Notes every operation while it is active; the tensors stay alive as long as it does.

    Args:
        most_bytes: of values computed; with more, it lets go of all that it has noted.
    """

    def __init__(self, *, most_bytes: float = math.inf) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self._has_let_go = False
        self._most_bytes = most_bytes
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Calls the operation and notes it."""
        answer = func(*args, **(kwargs or {}))
        if not self._has_let_go:
            results = tensors_in(answer)
            self.operations.append(Operation(func, args, kwargs or {}, results))
            self._sizes |= {memory_of(each): each.untyped_storage().nbytes() for each in results}
            if sum(self._sizes.values()) > self._most_bytes:
                self._has_let_go = True
                self.operations.clear()
        return answer


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dictionaries."""
    return [each for each in tree_leaves(value) if isinstance(each, Tensor)]


def memory_of(tensor: Tensor) -> int:
    """The same number for tensors that lie in the same memory, while one of them is alive."""
    return tensor.untyped_storage().data_ptr()


def outside(operations: Sequence[Operation]) -> list[Tensor]:
    """The tensors that were there before, one for each memory: a batch, parameters, buffers."""
    found: dict[int, Tensor] = {}
    made: set[int] = set()
    for operation in operations:
        for each in operation.taken:
            if memory_of(each) not in made:
                found.setdefault(memory_of(each), each)
        made |= {memory_of(each) for each in operation.results} - set(found)
    return list(found.values())


def same_calls(first: Sequence[Operation], second: Sequence[Operation]) -> bool:
    """Whether two recordings call the same operations on the same tensors with the same numbers.

    Tensors that were there before have to be the same ones, or equal numbers: those that Python's
    code makes tensors of, in each call again.
    """
    return len(first) == len(second) and _described(first) == _described(second)


def _described(operations: Sequence[Operation]) -> list[Any]:
    """All that tells two recordings apart; a tensor is the operation that it came from."""
    came_from: dict[int, Any] = {}

    def described(value: Any) -> Any:
        if isinstance(value, Tensor):
            return came_from.get(id(value), _Outside(value))
        return value

    calls = []
    for number, operation in enumerate(operations):
        given = tree_map(described, (operation.arguments, operation.options))
        calls.append((operation.function, given))
        for place, each in enumerate(operation.results):
            came_from.setdefault(id(each), (number, place))
    return calls


@dataclass(frozen=True, eq=False)
class _Outside:
    """A tensor that was there before the recording."""

    tensor: Tensor

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Outside):
            return False
        mine, theirs = self.tensor, other.tensor
        return mine is theirs or (
            mine.dim() == theirs.dim() == 0
            and mine.dtype == theirs.dtype
            and mine.item() == theirs.item()
        )
