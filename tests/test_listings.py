import tomllib

import pytest

from tinyscope import listings
from tinyscope.plan.recipe import KEYS, Recipe, allowed, faults


def keys() -> dict[str, tuple[str, str]]:
    """The key's value and what it may be, as `tinyscope list recipes` prints them."""
    lines = list(listings.recipes())
    below = lines[lines.index("") + 2 :]
    told = {line.split()[0]: line for line in below}
    return {key: (told[key].removesuffix(allowed(key)), allowed(key)) for key in told}


def test_every_key_of_a_recipe_is_listed_as_a_study_file_spells_it():
    listed = keys()
    assert tuple(listed) == KEYS
    values = {}
    for key, (line, _) in listed.items():
        values |= tomllib.loads(f"{key} = {line.removeprefix(key).strip()}")
    assert faults(values) == []
    assert Recipe().changed(values) == Recipe()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("pooling", '"mean" or "max" or "flatten"'),
        ("refit", "true or false"),
        ("backbone_size", 'a whole number, at least 8, at most 512, or "none"'),
        ("widths", "a list of whole numbers from 1 to 4096, such as [64, 256, 256]"),
        ("unfrozen_rate", "a number, above 0, at most 1"),
        ("backbone", "a text"),
    ],
)
def test_what_a_key_may_be_is_listed(key, words):
    assert keys()[key][1] == words
