import pytest

from tinyscope.wording import listed


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["ant"], "ant"),
        (["ant", "bee"], "ant and bee"),
        (list("abcde"), "a, b, c, d and e"),
        (list("abcdef"), "a, b, c, d and 2 more"),
    ],
)
def test_names_are_listed_in_a_sentence_and_of_many_the_first(names, text):
    assert listed(names) == text
