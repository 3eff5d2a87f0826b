import pytest

from tinyscope.report.templating import cell, choice_text, enlarged, network, setting
from tinyscope.wording import (
    as_published,
    between,
    certainty,
    counted,
    duration,
    flop,
    moment,
    p_value,
    percent,
    points,
    size,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (284_300_000_000_000, "284 TFLOP"),
        (1.4e15, "1.4 PFLOP"),
        (27_123_000_000, "27.1 GFLOP"),
        (4_000_000, "0.004 GFLOP"),
        (0, "0 GFLOP"),
    ],
)
def test_flop_are_told_with_three_digits_in_the_unit_that_people_would_use(number, text):
    assert flop(number) == text


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.91234), "91.2%"),
        (percent(None), "–"),
        (percent(0.9996), "99.96%"),
        (percent(0.9996, 0), "99.96%"),
        (percent(0.0004), "0.04%"),
        (percent(1.0), "100.0%"),
        (percent(0.0), "0.0%"),
        (percent(1e-12), "0.0%"),
        (as_published(0.7), "70%"),
        (as_published(0.6305), "63.05%"),
        (as_published(0.57), "57%"),
        (as_published(None), "–"),
        (certainty(0.99999), ">\N{NO-BREAK SPACE}99.9%"),
        (certainty(0.9994), "99.9%"),
        (between([0.9061, 0.9182]), "90.6–91.8%"),
        (between([0.9989, 0.99988], 0), "99.9–99.99%"),
        (points(0.013), "+1.30"),
        (points(-0.013), "\N{MINUS SIGN}1.30"),
        (points(-0.00001), "0.00"),
        (duration(1.25), "1.2 s"),
        (duration(151), "2 min 31 s"),
        (duration(3 * 3600 + 62), "3 h 1 min"),
        (p_value(0.0001), "< 0.001"),
        (p_value(0.0312), "0.031"),
        (moment("2026-01-31T09:05:59+00:00"), "2026-01-31 09:05 UTC"),
        (choice_text(["conv 8", "dense"]), "conv 8 · dense"),
        (choice_text(True), "yes"),
        (setting(True), "true"),
        (setting(None), '"none"'),
        (setting([24, 96]), "[24, 96]"),
        (counted(1, "image"), "1 image"),
        (counted(12_000, "image"), "12,000 images"),
        (counted(0, "class", "classes"), "0 classes"),
        (size(0), "0 bytes"),
        (size(2_400), "2.4 kB"),
        (size(153_600_000), "154 MB"),
        (size(1_536_000_000), "1.54 GB"),
        (cell(12_345), "12,345"),
        (cell(0.03125), "0.0312"),
        (cell(True), "yes"),
        (cell(None), "–"),
        (cell("a.png"), "a.png"),
    ],
)
def test_numbers_are_written_for_people(shown, expected):
    assert shown == expected


@pytest.mark.parametrize(
    ("pixels", "near", "expected"),
    # Whole multiples of the image's own width only: 3 x 32, 12 x 8, and one that is larger as is.
    [(32, 96, 96), (8, 96, 96), (28, 96, 84), (64, 96, 128), (224, 96, 224)],
)
def test_pictures_are_enlarged_by_whole_multiples(pixels, near, expected):
    assert enlarged(pixels, near) == expected


@pytest.mark.parametrize(
    ("recipe", "shown"),
    [
        ({"model": "resnet-20"}, "resnet-20"),
        (
            {"model": "transfer", "backbone": "vgg16", "classifier": "dense"},
            "dense layer on vgg16",
        ),
        (
            {"model": "transfer", "backbone": "runs/my-study/", "classifier": "random-forest"},
            "random forest on my-study",
        ),
    ],
)
def test_a_network_is_named_by_what_it_consists_of(recipe, shown):
    assert network(recipe) == shown
