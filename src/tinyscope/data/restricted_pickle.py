"""A reader of pickles that builds plain values and numpy arrays, and runs no code."""

import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np

from tinyscope.errors import DataError

_PLAIN = (bytes, str, int, float, bool, type(None))
_KINDS = "biuf"  # booleans, integers, unsigned integers, floats
_DEPTH = 20

# What protocols 2 to 4 write for plain values. Not among them: INST, OBJ, NEWOBJ, EXT, PERSID ...
# fmt: off
_OPCODES = frozenset({
    "PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES",
    "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT", "MEMOIZE",
})
# fmt: on


def loads(data: bytes) -> Any:
    """The value that was pickled.

    Only dict, list, tuple, bytes, str, int, float, bool, None and numpy arrays of numbers are
    built, and no function outside this module is called. Strings of Python 2 become str by
    Latin-1, of which a byte is a character.

    Args:
        data: a pickle of protocol 2, 3 or 4.

    Raises:
        DataError: anything else is in it, or it is damaged.
    """
    try:
        _check_opcodes(data)
        return _plain(_Unpickler(io.BytesIO(data), encoding="latin1").load(), {}, 0)
    except DataError:
        raise
    except Exception as error:  # damaged data raises anything: IndexError, UnicodeDecodeError ...
        raise DataError(f"A damaged pickle: {' '.join(str(error).split())}.") from None


def _check_opcodes(data: bytes) -> None:
    """Refuses, before anything is built, what plain values do not need."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name not in _OPCODES:
            raise DataError(
                f"A pickle with the operation {opcode.name}; only plain values and arrays are read."
            )
        # The reader makes room for every place up to the highest one.
        if opcode.name.endswith("PUT") and int(argument or 0) > count:
            raise DataError(f"A damaged pickle: place {argument} is far beyond its values.")


class _StandIn:
    """What a pickle gets in place of a class or function of numpy."""

    def __setstate__(self, state: Any) -> None:
        raise DataError("A damaged pickle: a value is changed after it was made.")


class _Dtype(_StandIn):
    """Stands in for numpy.dtype while reading."""

    def __init__(self, spec: str, align: Any = False, copy: Any = False) -> None:
        self._spec = str(spec)
        self._order: Any = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if any(part is not None for part in state[2:5]):  # subarray, names, fields
            raise DataError("A pickle with an array of records; only arrays of numbers are read.")
        self._order = state[1]

    def numpy(self) -> np.dtype:
        dtype = np.dtype(self._spec)
        if dtype.kind not in _KINDS:
            raise DataError(f"A pickle with an array of {dtype}; only arrays of numbers are read.")
        return dtype if self._order == "|" else dtype.newbyteorder(self._order)


class _Array(_StandIn):
    """Stands in for an array while reading, so that numpy never sees unchecked parts of one."""

    def __init__(self, *_: Any) -> None:
        self._state: tuple[Any, ...] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._state = state

    def numpy(self) -> np.ndarray:
        if self._state is None or len(self._state) != 5:
            raise DataError("A damaged pickle: an array without its values.")
        _, shape, stand_in, by_columns, values = self._state
        if not isinstance(stand_in, _Dtype):
            raise DataError("A damaged pickle: an array without its dtype.")
        dtype = stand_in.numpy()
        raw = values.encode("latin1") if isinstance(values, str) else bytes(memoryview(values))
        if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize != len(raw):
            raise DataError(
                f"A damaged pickle: {len(raw):,} bytes for an array of {dtype} {shape}."
            )
        array = np.ndarray(shape, dtype, raw, order="F" if by_columns else "C")
        return array.copy("K")  # writeable, unlike the bytes


class _Bytes(_StandIn):
    """Stands in for the function _codecs.encode, which Python 3 writes for bytes in protocol 2."""

    def __new__(cls, text: str, encoding: str) -> bytes:  # type: ignore[misc]
        if encoding != "latin1":
            raise DataError(f"A pickle with bytes in the encoding {encoding}; expected latin1.")
        return text.encode("latin1")


class _NoBytes(_StandIn):
    """Stands in for the class bytes, by which Python 3 writes empty bytes in protocol 2."""

    def __new__(cls) -> bytes:  # type: ignore[misc]
        return b""


class _Ndarray(_StandIn):
    """Stands in for the class numpy.ndarray, which is only an argument of _reconstruct."""


_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Ndarray,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Bytes,
    ("__builtin__", "bytes"): _NoBytes,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global."""
        if (module, name) not in _GLOBALS:
            raise DataError(
                f"A pickle that asks for {module}.{name}; only plain values and arrays are read."
            )
        return _GLOBALS[module, name]


def _plain(value: Any, done: dict[int, Any], depth: int) -> Any:
    """The value with arrays in place of their stand-ins; `done` spares repeated parts."""
    if depth > _DEPTH:
        raise DataError(f"A pickle nested more than {_DEPTH} deep.")
    if type(value) in _PLAIN:
        return value
    if id(value) not in done:
        if type(value) is dict:
            plain: Any = {
                _plain(key, done, depth + 1): _plain(part, done, depth + 1)
                for key, part in value.items()
            }
        elif type(value) in (list, tuple):
            plain = type(value)(_plain(part, done, depth + 1) for part in value)
        elif type(value) is _Array:
            plain = value.numpy()
        else:
            raise DataError("A damaged pickle: a part of an array stands alone.")
        done[id(value)] = plain
    return done[id(value)]
