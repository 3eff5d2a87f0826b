import pytest

from tinyscope.wording import listed


@pytest.mark.parametrize(
    ("names", "most", "text"),
    [
        ([], None, ""),
        (["ant"], None, "ant"),
        (["ant", "bee"], None, "ant and bee"),
        (list("abcde"), 5, "a, b, c, d and e"),
        (list("abcdef"), 5, "a, b, c, d, e and 1 more"),
        (list("abcdef"), None, "a, b, c, d, e and f"),
    ],
)
def test_names_are_listed_in_a_sentence_and_of_many_the_first(names, most, text):
    assert listed(names, most=most) == text
