import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from tinyscope.inspection.shortcuts import property_shortcuts
from tinyscope.inspection.value_tables import coded

NAMES = ("cat", "dog", "owl", "bee")
LABELS = np.repeat(np.arange(4), 250)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(len(LABELS))


def found(numeric=None, categorical=None, labels=LABELS, names=NAMES):
    return property_shortcuts(labels, names, numeric=numeric or {}, categorical=categorical or {})


def test_one_class_saved_as_png_is_found() -> None:
    (each,) = found(categorical={"format": np.where(LABELS == 1, "PNG", "JPEG")})
    assert each[:4] == (
        "format",
        "PNG",
        ("dog",),
        "250 of the 250 images that carry it are dog, which has 250 of all 1,000 images; by chance "
        "62.5 would be.",
    )
    assert each.rows.tolist() == list(range(250, 500))


def test_a_class_whose_value_others_have_seldom_is_found() -> None:
    png = (LABELS == 1) | (np.arange(1000) % 100 == 0)  # 1% of the others
    (each,) = found(categorical={"format": np.where(png, "PNG", "JPEG")})
    assert each[:3] == ("format", "PNG", ("dog",))
    assert len(each.rows) == 258


def test_a_few_images_of_one_camera_in_one_class_are_found() -> None:
    cameras = [None] * 1000
    cameras[500:512] = ["X100"] * 12
    (each,) = found(categorical={"camera": cameras})
    assert each[:3] == ("camera", "X100", ("owl",))
    assert each.rows.tolist() == list(range(500, 512))


def test_nine_images_are_too_few() -> None:
    cameras = [None] * 1000
    cameras[500:509] = ["X100"] * 9
    assert found(categorical={"camera": cameras}) == []


def test_a_value_that_chance_explains_is_not_reported() -> None:
    # Ten of ten in one of two equal classes: 2 ** -10, four tests: about 0.004.
    modes = ["RGB"] * 1000
    modes[:10] = ["L"] * 10
    labels = np.repeat([0, 1], 500)
    assert found(categorical={"mode": modes}, labels=labels, names=("cat", "dog")) == []
    modes[:20] = ["L"] * 20
    (each,) = found(categorical={"mode": modes}, labels=labels, names=("cat", "dog"))
    assert each[:3] == ("mode", "L", ("cat",))


def test_a_value_is_no_shortcut_to_a_class_that_most_images_are_of_anyway() -> None:
    # "other" is 90% of the images, and 96% of those with a border, which a third of them have.
    labels = np.repeat([0, 1], [3000, 27_000])
    border = np.where(np.arange(30_000) % 1000 < np.where(labels == 0, 130, 350), 2.0, 0.0)
    names = ("airplane", "other")
    assert (labels[border == 2] == 1).mean() > 0.95
    assert found({"border": border}, labels=labels, names=names) == []
    # What hardly any airplane has gives the others away all the same.
    border[(labels == 0) & (np.arange(30_000) % 100 > 0)] = 0
    (each,) = found({"border": border}, labels=labels, names=names)
    assert each[:3] == ("border", "2", ("other",))


def test_a_value_that_half_of_the_images_of_every_class_carry_is_not_reported() -> None:
    assert found(categorical={"format": np.where(np.arange(1000) % 2, "PNG", "JPEG")}) == []


def test_a_value_that_half_of_the_classes_carry_and_the_others_do_not_is_found() -> None:
    png = (LABELS < 2) ^ (np.arange(1000) % 125 == 0)  # but for 1 image in 125
    (each,) = found(categorical={"format": np.where(png, "PNG", "JPEG")})  # told once
    assert each[:4] == (
        "format",
        "JPEG",
        ("owl", "bee"),
        "496 of the 500 images of these 2 classes carry it, and 4 of the 500 others.",
    )
    assert each.rows.tolist() == np.flatnonzero(~png).tolist()


def test_a_value_that_nineteen_in_twenty_images_of_two_classes_alone_carry_is_found() -> None:
    png = (LABELS < 2) & (np.arange(1000) % 20 > 0)
    form = np.where(png, "PNG", np.where(np.arange(1000) % 2, "JPEG", "GIF"))
    (each,) = found(categorical={"format": form})
    assert (each.value, each.classes) == ("PNG", ("cat", "dog"))


def test_a_value_that_an_eighth_of_the_other_classes_carry_too_is_not_reported() -> None:
    png = (LABELS < 2) | (np.arange(1000) % 8 == 0)
    jpeg = np.where(LABELS == 3, "GIF", "JPEG")  # so that no two classes alone have another value
    assert [each.value for each in found(categorical={"format": np.where(png, "PNG", jpeg)})] == [
        "JPEG",
        "GIF",
    ]


def test_the_one_class_without_a_value_is_found() -> None:
    cameras = [None if label == 3 else "X100" for label in LABELS]
    (each,) = found(categorical={"camera": cameras})
    assert each[:3] == ("camera", "no value", ("bee",))
    dates = np.where(LABELS == 3, np.nan, noise())
    (each,) = found({"date": dates})
    assert each[:3] == ("date", "no value", ("bee",))
    assert each.rows.tolist() == list(range(750, 1000))


def test_several_values_of_one_class_are_one_shortcut() -> None:
    rolls = np.array([f"roll {row % 5}" if row < 250 else f"day {row % 3}" for row in range(1000)])
    (each,) = found(categorical={"software": rolls})
    assert each[:3] == ("software", "roll 0, roll 1, roll 2 and 2 more", ("cat",))
    assert len(each.rows) == 250


def test_values_of_single_images_are_one_value_and_no_shortcut() -> None:
    times = [f"12:{row:04}" if row < 250 else f"roll {row % 2}" for row in range(1000)]
    codes, names = coded(times)
    assert names == ["roll 0", "roll 1", None], "one each for two rolls, and one for all times"
    assert np.bincount(codes).tolist() == [375, 375, 250]
    assert found(categorical={"time": times}) == []


def test_a_class_that_lies_above_all_others_is_found_with_its_limit() -> None:
    values = 2.0 * (LABELS == 2) + np.arange(1000) % 250 / 250
    values[0] = 2.9  # an image of another class
    (each,) = found({"sharpness": values})
    assert each[:4] == (
        "sharpness",
        "2 or more",
        ("owl",),
        "sharpness alone tells owl from the rest with an area under the ROC curve of 0.999: 250 of "
        "its 250 images lie there, and 1 of the 750 others.",
    )
    assert each.rows.tolist() == [0, *range(500, 750)]
    (below,) = found({"sharpness": -values})
    assert below.value == "-2 or less"
    assert below.rows.tolist() == each.rows.tolist()


def test_a_border_that_few_images_of_a_class_have_is_found_by_its_width() -> None:
    border = np.zeros(1000)
    border[750:765] = 2
    (each,) = found({"border": border})
    assert each[:3] == ("border", "2", ("bee",))
    assert each.rows.tolist() == list(range(750, 765))


def test_an_honest_difference_of_brightness_is_no_shortcut() -> None:
    values = noise() + 1.2 * (LABELS == 0)  # more than between CIFAR-10's aeroplanes and the rest
    assert roc_auc_score(LABELS == 0, values) > 0.77
    assert found({"brightness": values}) == []


def test_a_property_that_tells_all_classes_apart_is_found() -> None:
    (each,) = found(categorical={"date": [f"2020-0{1 + label}-01" for label in LABELS]})[:1]
    assert each.classes == ("cat",)
    # Two values each class, mixed so that no single one is pure, but bins of a number are.
    order = np.array([0, 2, 1, 3])[LABELS] + 0.3 * np.tanh(noise())
    shortcuts = found({"size": order})
    assert [each.classes for each in shortcuts] == [("cat",), ("bee",)]


def test_all_classes_are_named_at_once_where_none_stands_at_an_end() -> None:
    # Every class lies on both sides of every other one.
    middle = np.array([0.0, 1.0, 2.0, 3.0])[LABELS]
    values = np.where(np.arange(1000) % 2 == 0, middle, 7 - middle) + 0.1 * np.tanh(noise())
    (each,) = found({"size": values})
    assert each[:3] == ("size", "any", ())
    assert len(each.rows) == 1000
    assert each.strength.startswith("size alone names the class of ")
    assert each.strength.endswith("; by chance 25.0%).")


def test_the_order_is_that_of_the_properties() -> None:
    png = np.where(LABELS == 1, "PNG", "JPEG")
    shortcuts = found({"b": 9.0 * (LABELS == 1) + noise() / 9}, {"c": png, "a": png})
    assert [each.property for each in shortcuts] == ["b", "c", "a"]


def test_digits_have_no_shortcut_in_their_ink() -> None:
    digits = load_digits()
    ink = {"brightness": digits.data.mean(1), "contrast": digits.data.std(1)}
    names = tuple(map(str, range(10)))
    assert property_shortcuts(digits.target, names, numeric=ink, categorical={}) == []
