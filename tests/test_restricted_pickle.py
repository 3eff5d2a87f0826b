"""Tests of tinyscope.data.restricted_pickle."""

import pickle
import pickletools
import struct
import subprocess

import numpy as np
import pytest

from tinyscope.data import restricted_pickle
from tinyscope.data.restricted_pickle import loads
from tinyscope.errors import DataError

PLAIN = {
    "label_names": ["cat", "dog"],
    "numbers": (1, -2, 2**40, 0.5, True, False, None),
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "data": np.arange(12, dtype=np.uint8).reshape(3, 4),
}

# What Python 2.7 and numpy 1.7 write for {"data": array([[1, 255]], uint8), "labels": [6]}.
PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq"
    b"\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x01K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq"
    b"\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x01\xfftbU\x06labelsq"
    b"\x08]q\tK\x06au."
)


class Payload:
    """Unpickled by `pickle.loads`, this calls a function."""

    def __init__(self, call: object, *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call, self.arguments


def refusal(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        loads(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_values_come_back_as_pickle_would_read_them(protocol):
    read = loads(pickle.dumps(PLAIN, protocol))

    assert list(read) == list(PLAIN)
    for key in ("label_names", "numbers", "bytes", "no bytes"):
        assert read[key] == PLAIN[key]
        assert type(read[key]) is type(PLAIN[key])
    np.testing.assert_array_equal(read["data"], PLAIN["data"])
    assert read["data"].dtype == np.uint8


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5),
        np.zeros((0, 3), np.int16),
        np.array([True, False]),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
    ids=["scalar", "empty", "bool", "big-endian", "by columns"],
)
def test_arrays_of_numbers_come_back_equal_and_writeable(array):
    read = loads(pickle.dumps(array, 2))

    np.testing.assert_array_equal(read, array)
    assert read.shape == array.shape
    assert read.dtype == array.dtype
    assert read.flags.writeable


def test_a_pickle_of_python_2_is_read_with_its_strings_as_latin_1():
    read = loads(PYTHON_2)

    assert read["labels"] == [6]
    np.testing.assert_array_equal(read["data"], [[1, 255]])


def test_a_part_that_stands_twice_is_read_once():
    part = [1]
    read = loads(pickle.dumps([part, part], 2))
    assert read[0] is read[1]


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_call_of_the_system_is_refused_and_not_made(tmp_path, protocol):
    import os

    mark = tmp_path / "made"
    payload = Payload(os.system, f"touch {mark}")
    for data in (payload, {"data": [payload]}, np.array([payload], object)):
        loads_message = refusal(pickle.dumps(data, protocol))
        assert (
            "asks for" in loads_message or "operation" in loads_message or "object" in loads_message
        )
    assert not mark.exists()


def test_the_refusal_names_what_the_pickle_asks_for():
    expected = "A pickle that asks for {}; only plain values and arrays are read."

    assert refusal(pickle.dumps(Payload(eval, "1"), 4)) == expected.format("builtins.eval")
    assert refusal(b"\x80\x02cos\nsystem\nU\x04true\x85R.") == expected.format("os.system")
    assert refusal(pickle.dumps(Payload(subprocess.run, ["true"]), 4)) == expected.format(
        "subprocess.run"
    )
    assert refusal(b"\x80\x02cnumpy\nload\nU\x01x\x85R.") == expected.format("numpy.load")
    # A dotted name must not lead from an allowed module to another.
    assert refusal(b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93.") == expected.format(
        "numpy.dtype.__class__"
    )


def test_operations_that_plain_values_do_not_need_are_refused_before_anything_is_built():
    assert refusal(b"\x80\x02U\x02ls(ios\nsystem\n.") == (
        "A pickle with the operation INST; only plain values and arrays are read."
    )
    assert "operation PERSID" in refusal(b"\x80\x02Pthing\n.")
    assert "operation EXT1" in refusal(b"\x80\x02\x82\x01.")
    assert "operation NEWOBJ" in refusal(pickle.dumps(ValueErrorLike(), 2))


class ValueErrorLike:
    """Pickled by NEWOBJ in protocol 2."""


def test_an_array_of_objects_is_refused():
    assert refusal(pickle.dumps(np.array([{}, []], object), 2)) == (
        "A pickle with an array of object; only arrays of numbers are read."
    )


def test_an_array_of_records_is_refused():
    array = np.zeros(2, [("a", "i4"), ("b", "f4")])
    assert refusal(pickle.dumps(array, 2)) == (
        "A pickle with an array of records; only arrays of numbers are read."
    )


def test_an_array_larger_than_its_bytes_is_refused():
    honest = pickle.dumps(np.zeros((2, 3), np.uint8), 3)
    lying = honest.replace(b"K\x02K\x03\x86", b"J\xff\xff\xff\x7fK\x03\x86")
    assert lying != honest
    assert refusal(lying) == ("A damaged pickle: 6 bytes for an array of uint8 (2147483647, 3).")


def test_a_length_beyond_the_end_costs_no_memory():
    assert refusal(b"\x80\x03B" + struct.pack("<I", 2**32 - 1) + b"x.").startswith(
        "A damaged pickle: "
    )


def test_a_place_that_would_take_gigabytes_is_refused():
    assert refusal(b"\x80\x02]r" + struct.pack("<I", 2**31) + b".") == (
        "A damaged pickle: place 2147483648 is far beyond its values."
    )


def test_deep_and_endless_nesting_is_refused():
    expected = "A pickle nested more than 20 deep."
    deep: list[object] = []
    for _ in range(50):
        deep = [deep]
    endless: list[object] = []
    endless.append(endless)

    assert refusal(pickle.dumps(deep, 2)) == expected
    assert refusal(pickle.dumps(endless, 2)) == expected
    assert refusal(b"\x80\x02" + b"(" * 100 + b"t" * 100 + b".") == expected


def test_a_small_pickle_of_exponentially_many_parts_is_read_in_no_time():
    part: list[object] = [0]
    for _ in range(18):
        part = [part] * 50  # 50 to the power of 18, were each read anew
    assert len(loads(pickle.dumps(part, 2))) == 50


def test_a_stand_in_cannot_be_changed_from_inside():
    # BUILD on the class numpy.ndarray with {"x": 1}.
    assert "damaged pickle" in refusal(b"\x80\x02cnumpy\nndarray\n}U\x01xK\x01sb.")
    assert "damaged pickle" in refusal(b"\x80\x02c_codecs\nencode\nN}U\x01xK\x01s\x86b.")


@pytest.mark.parametrize("data", [b"", b"\x80", b"hello", PYTHON_2[:-20], b"\x80\x02."])
def test_a_damaged_pickle_is_one_line(data):
    assert refusal(data).startswith("A ")


def test_the_official_layout_needs_no_other_operation():
    used = {opcode.name for opcode, *_ in pickletools.genops(PYTHON_2)}
    assert "GLOBAL" in used  # the sample does exercise the globals
    assert used <= restricted_pickle._OPCODES
