"""Shortcuts that stand in the headers of files."""

import re

import numpy as np
import pytest
from PIL import ExifTags, Image

from tinyscope.data.catalogue import load
from tinyscope.data.file_facts import file_facts
from tinyscope.data.image_quality import image_properties
from tinyscope.inspection.shortcut_checks import shortcut_check

COUNT = 30


@pytest.fixture
def outcome(tmp_path):
    """Makes a folder of noise, an ending and qualities for each class, and checks it."""

    def of(cameras=None, **classes):
        random = np.random.default_rng(0)
        for name, (ending, qualities) in classes.items():
            folder = tmp_path / "photos" / name
            folder.mkdir(parents=True)
            for number in range(COUNT):
                pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                path = folder / f"{number}.{ending}"
                exif = Image.Exif()
                exif.update((cameras or {}).get(name, {}))
                quality = qualities[number % len(qualities)]
                Image.fromarray(pixels).save(path, quality=quality, exif=exif)
        data, facts = load(tmp_path / "photos"), file_facts(tmp_path / "photos")
        properties = {part.split: image_properties(part.images) for part in data.parts()}
        return shortcut_check(data, facts, properties)

    return of


def named(outcome, name):
    """The classes that a property gives away."""
    said = outcome.summary.rstrip(".").split("; ")
    return [re.split(" gives? ", each)[1].split()[0] for each in said if name in each]


MANY = tuple(range(60, 90))


def test_a_class_that_was_saved_at_another_quality_is_found_among_other_jpegs(outcome):
    found = outcome(ant=("jpg", (80,)), bee=("jpg", MANY), cow=("jpg", MANY), dog=("png", (0,)))
    assert named(found, "JPEG quantization") == ["ant"]
    [ant] = {item.detail for item in found.items if "quantization" in item.detail}
    assert "30 of the 32 images that carry it are ant" in ant
    assert named(found, "file format") == ["dog"]


def test_that_one_class_alone_is_of_jpegs_is_told_once(outcome):
    found = outcome(ant=("jpg", (80,)), bee=("png", (0,)), cow=("bmp", (0,)))
    assert named(found, "file format") == ["ant", "bee", "cow"]
    assert named(found, "JPEG quantization") == []


def test_qualities_that_classes_share_give_nothing_away(outcome):
    found = outcome(ant=("jpg", (75, 80, 90)), bee=("jpg", (90, 75, 80)))
    assert named(found, "JPEG quantization") == []


def test_images_without_tables_have_no_such_property(outcome):
    found = outcome(ant=("png", (0,)), bee=("png", (0,)))
    assert "quantization" not in str(found)


def test_classes_that_come_from_another_source_are_told_together(outcome):
    classes = {name: ("jpg" if name < "d" else "png", MANY) for name in "abcdefghij"}
    found = outcome(**classes)
    assert found.summary == "file format (JPEG) gives a, b and c away."
    assert len(found.items) == 3 * COUNT
    assert {item.place.row for item in found.items} == set(range(3 * COUNT))


def test_of_many_classes_the_first_are_named(outcome):
    classes = {name: ("jpg" if name < "g" else "png", MANY) for name in "abcdefghijkl"}
    found = outcome(**classes)
    assert "file format (JPEG) gives a, b, c, d, e and 1 more away" in found.summary
    assert "quantization" not in found.summary


def test_what_the_same_images_carry_is_told_together(outcome):
    classes = {name: ("jpg", MANY) for name in ("ant", "bee", "cow")}
    found = outcome(
        {"bee": {ExifTags.Base.Make: "Canon", ExifTags.Base.Model: "EOS 5D"}}, **classes
    )
    assert found.summary == "EXIF Make (Canon) and EXIF Model (EOS 5D) give bee away."
    [detail] = {item.detail for item in found.items}
    assert detail.startswith("EXIF Make Canon and EXIF Model EOS 5D: 30 of the 30 images")
    assert len(found.items) == COUNT


def test_images_of_one_class_without_what_the_others_have_are_told_so(outcome):
    cameras = {name: {ExifTags.Base.Make: "Canon"} for name in ("ant", "cow")}
    found = outcome(cameras, **{name: ("jpg", MANY) for name in ("ant", "bee", "cow")})
    assert "EXIF Make (no value) gives bee away" in found.summary
