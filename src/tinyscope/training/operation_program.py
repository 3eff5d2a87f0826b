"""What is left to call of recorded operations where their memory stays the same."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, UntypedStorage

from tinyscope.training.recorder import Operation, memory_of, outside, tensors_in

_K = TypeVar("_K")
_ATEN = torch.ops.aten
_EMPTY = {
    _ATEN.empty,
    _ATEN.empty_like,
    _ATEN.empty_strided,
    _ATEN.new_empty,
    _ATEN.new_empty_strided,
}
_COPIES = {_ATEN._to_copy, _ATEN.clone}


class Program:
    """Recorded operations, to be run again on what then lies in the tensors outside of them.

    An operation that only looks at memory in another way, or always gives the same, is not called
    again. Of the others, those that torch can have write into a tensor given (`out=`) write where
    they wrote when they were recorded; convolutions, which it cannot, give new tensors each time.
    Values whose time is over leave their memory to later ones.

    Args:
        operations: in their order; none that reads numbers back.
        ends: tensors that are wanted after a run; see `end`.
    """

    def __init__(self, operations: Sequence[Operation], ends: Sequence[Tensor]) -> None:
        calls = _calls(_without_stopovers(operations, ends))
        _share_memory(calls, kept=[*outside(operations), *ends])
        self._values: list[Any] = []
        self._places: dict[int, int] = {}
        last = {id(each): number for number, call in enumerate(calls) for each in call.touched}
        last |= {id(each): len(calls) for each in ends}
        moving = {id(each): each for call in calls for each in call.gives}
        self._calls = [
            self._bound(call, [each for each in moving.values() if last[id(each)] == number])
            for number, call in enumerate(calls)
        ]
        self._ends = ends  # `end` knows them by their ids; the other tensors may go.

    def __len__(self) -> int:
        """Calls of a run."""
        return len(self._calls)

    @torch.no_grad()
    def run(self) -> None:
        """Calls what is left of the operations."""
        for call in self._calls:
            call()

    def end(self, tensor: Tensor) -> Tensor:
        """What one of `ends` was in the last run; the next run may overwrite it."""
        place = self._places.get(id(tensor))
        return tensor if place is None else cast(Tensor, self._values[place])

    def _bound(self, call: "_Call", over: Sequence[Tensor]) -> Callable[[], object]:
        """The call as a function without arguments; it forgets the values that are over then."""
        suppliers = self._suppliers(enumerate(call.arguments))
        named_suppliers = self._suppliers(call.options.items())
        gives = [self._place(each) for each in call.gives]
        forgets = [self._place(each) for each in over]
        if not (suppliers or named_suppliers or gives):
            return partial(call.function, *call.arguments, **call.options)
        function, values = call.function, self._values
        replaced, named_replaced = dict(suppliers), dict(named_suppliers)
        # Tensors of the recording that are replaced in each run are not to be held.
        same = [None if at in replaced else each for at, each in enumerate(call.arguments)]
        same_options = {
            name: each for name, each in call.options.items() if name not in named_replaced
        }

        def run() -> None:
            arguments, options = same.copy(), same_options
            for at, supplier in suppliers:
                arguments[at] = supplier()
            if named_suppliers:
                options = options | {name: supplier() for name, supplier in named_suppliers}
            answer = function(*arguments, **options)
            if isinstance(answer, Tensor) and gives:
                values[gives[0]] = answer
            elif gives:
                for place, each in zip(gives, tensors_in(answer), strict=True):
                    values[place] = each
            for place in forgets:
                values[place] = None

        return run

    def _suppliers(self, arguments: Iterable[tuple[_K, Any]]) -> list[tuple[_K, Callable[[], Any]]]:
        """A supplier for every argument that is another one in each run."""
        found = [(key, self._supplier(each)) for key, each in arguments]
        return [(key, supplier) for key, supplier in found if supplier is not None]

    def _supplier(self, argument: Any) -> Callable[[], Any] | None:
        """Gives an argument as it is at a call; None where it is always the same."""
        if isinstance(argument, Tensor):
            place = self._places.get(id(argument))
            return None if place is None else partial(self._values.__getitem__, place)
        if isinstance(argument, (list, tuple)):
            parts = [self._supplier(each) for each in argument]
            if any(parts):
                pairs = list(zip(argument, parts, strict=True))
                return lambda: [each if part is None else part() for each, part in pairs]
        return None

    def _place(self, tensor: Tensor) -> int:
        if id(tensor) not in self._places:
            self._places[id(tensor)] = len(self._values)
            self._values.append(None)
        return self._places[id(tensor)]


@dataclass(frozen=True)
class _Call:
    """An operation that is left, with the memory that its results go to."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    writes: Sequence[Tensor]
    """What it fills or changes, where the memory stays the same."""
    gives: Sequence[Tensor] = ()
    """What it gives, in memory that is another one in each run."""

    @property
    def touched(self) -> list[Tensor]:
        """The tensors that it reads or writes."""
        return [*tensors_in((self.arguments, self.options)), *self.writes, *self.gives]


def _calls(operations: Sequence[Operation]) -> list[_Call]:
    """The calls that are left of operations."""
    changed = {memory_of(each) for operation in operations for each in operation.written}
    constant: set[int] = set()
    moving: set[int] = set()
    calls = []
    for operation in operations:
        function, arguments, options = operation.function, operation.arguments, operation.options
        taken = {memory_of(each) for each in operation.taken}
        results = {memory_of(each) for each in operation.results}
        packet, into = function.overloadpacket, _written_into(function)
        if operation.written or (results and results <= taken):
            # It changes memory, or looks at memory in another way.
            gives = operation.results if results & moving else []
            if operation.written or gives:
                calls.append(_Call(function, arguments, options, operation.written, gives))
        elif packet in _EMPTY:
            continue
        elif taken <= constant and results.isdisjoint(changed) and not operation.is_random:
            constant |= results
        elif packet in _COPIES:
            (copy,) = operation.results
            calls.append(_Call(copy.copy_, arguments[:1], {}, [copy]))
        elif into is not None:
            names = [each.name for each in into._schema.arguments if each.is_out]
            options = options | dict(zip(names, operation.results, strict=True))
            calls.append(_Call(into, arguments, options, operation.results))
        else:
            moving |= results
            calls.append(_Call(function, arguments, options, [], operation.results))
    return calls


@cache
def _written_into(function: Any) -> Any | None:
    """The form of an operation that writes into tensors given, where torch has one of its own.

    Forms that torch generated compute elsewhere and copy.
    """
    packet = function.overloadpacket
    wanted = [(each.name, str(each.type)) for each in function._schema.arguments]
    for name in packet.overloads():
        form = getattr(packet, name)
        arguments = form._schema.arguments
        inputs = [(each.name, str(each.type)) for each in arguments if not each.is_out]
        own = torch.Tag.generated not in form.tags
        if own and wanted == inputs and len(inputs) < len(arguments):
            return form
    return None


def _without_stopovers(operations: Sequence[Operation], ends: Sequence[Tensor]) -> list[Operation]:
    """The operations with every copy of a copy made from what the first one copies.

    Gradients are brought to float32, and then to the layout of their parameters.
    """
    operations = [each for each in operations if each.function.overloadpacket not in _EMPTY]
    uses = Counter(memory_of(each) for operation in operations for each in operation.taken)
    uses.update(memory_of(each) for each in ends)
    direct: list[Operation] = []
    for operation in operations:
        before = direct[-1] if direct else None
        if (
            before is not None
            and operation.function is _ATEN.copy_.default
            and before.function.overloadpacket in _COPIES
            and operation.arguments[1] is before.results[0]
            and operation.arguments[0].dtype == before.results[0].dtype
            and uses[memory_of(before.results[0])] == 1
        ):
            direct.pop()
            arguments = (operation.arguments[0], before.arguments[0], *operation.arguments[2:])
            operation = replace(operation, arguments=arguments)
        direct.append(operation)
    return direct


@torch.no_grad()
def _share_memory(calls: Sequence[_Call], kept: Sequence[Tensor]) -> None:
    """Lets values whose time is over leave their memory to later ones: caches are small.

    Only memory that a call fills before another one reads it is shared, so constants are not.
    """
    own = {memory_of(each) for each in kept}
    own |= {memory_of(each) for call in calls for each in call.gives}
    tensors: dict[int, dict[int, Tensor]] = {}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    held: dict[int, UntypedStorage] = {}
    for number, call in enumerate(calls):
        written = {memory_of(each) for each in call.writes}
        for each in call.touched:
            memory = memory_of(each)
            if memory not in first and memory not in written:
                own.add(memory)
            tensors.setdefault(memory, {})[id(each)] = each
            first.setdefault(memory, number)
            last[memory] = number
    free: list[UntypedStorage] = []
    first = {memory: number for memory, number in first.items() if memory not in own}
    for number in range(len(calls)):
        for memory in (each for each, begin in first.items() if begin == number):
            lying = list(tensors[memory].values())
            storage = lying[0].untyped_storage()
            fitting = [each for each in free if each.nbytes() >= storage.nbytes()]
            if fitting:
                storage = min(fitting, key=UntypedStorage.nbytes)
                free.remove(storage)
                for each in lying:
                    each.set_(storage, each.storage_offset(), each.shape, each.stride())
            held[memory] = storage
        free += [held[memory] for memory in held if last[memory] == number]
