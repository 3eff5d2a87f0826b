import os

import pytest

from tinyscope.data.file_tree import printable
from tinyscope.terminal import shown


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("photos/cat 1.png: caf\xe9 99.1%  \u732b\u3000\U0001f408\u200d\u2b1b 0.1%", None),
        ("a.png\nb.png: cat 100.0%", r"a.png\nb.png: cat 100.0%"),
        ("a\r\tb", r"a\r\tb"),
        ("\x1b[2Ka.png\x07\x7f\x9b", r"\x1b[2Ka.png\x07\x7f\x9b"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
    ],
)
def test_a_line_cannot_begin_another_or_move_the_cursor(line, expected):
    assert shown(line) == (expected or line)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (os.fsencode("caf") + b"\xe9.png", r"caf\xe9.png"),
        (b"\x80\xff-\xc3\xa9.png", "\\x80\\xff-\xe9.png"),
    ],
)
def test_bytes_of_a_name_that_are_no_utf_8_are_spelled_as_everywhere(name, expected):
    line = name.decode("utf-8", "surrogateescape")
    assert shown(line) == printable(line) == expected


def test_half_a_letter_is_spelled_as_everywhere():
    assert shown("a\ud83d.png") == printable("a\ud83d.png") == r"a\ud83d.png"
