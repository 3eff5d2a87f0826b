import pytest

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
