"""Tests of tinyscope.data.cache_folder, and of what is kept by its names."""

import pytest
from study_world import make_splits

from tinyscope.data import duplicates
from tinyscope.data.cache_folder import cache_folder, entry
from tinyscope.features import extraction
from tinyscope.inspection import inspection, out_of_sample
from tinyscope.plan.recipe import Recipe

SPLITS = make_splits(("ant", "bee", "cat"))


def places():
    """Where everything is kept that is made of a data set's pixels."""
    return {
        "inspection": inspection._place(SPLITS, {}),
        "answers": out_of_sample._path(SPLITS, Recipe(), 2, 0),
        "features": extraction.place_of(
            SPLITS.train, extraction.AS_IT_IS, digest="of a backbone", precision="fp32"
        ),
        "copies": duplicates._place([SPLITS.train]),
    }


@pytest.mark.parametrize(
    ("module", "resting"),
    [
        (inspection, {"inspection"}),
        (out_of_sample, {"inspection", "answers"}),
        (extraction, {"inspection", "features"}),
        (duplicates, {"inspection", "answers", "copies"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_raised_version_voids_all_that_rests_on_it_and_nothing_else(monkeypatch, module, resting):
    before = places()
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    after = places()
    assert {name for name in before if after[name] != before[name]} == resting


def test_what_is_kept_has_a_name_of_all_that_decides_it():
    place = entry("kind", "a", {"b": [1]}, versions=[1, 2])
    assert place.parent == cache_folder() / "kind"
    assert place == entry("kind", "a", {"b": [1]}, versions=[1, 2])
    others = [
        entry("kind", "a", {"b": [2]}, versions=[1, 2]),
        entry("kind", "a", versions=[1, 2]),
        entry("kind", "a", {"b": [1]}, versions=[2, 1]),
        entry("other", "a", {"b": [1]}, versions=[1, 2]),
    ]
    assert len({place, *others}) == 5
