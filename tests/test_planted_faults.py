import hashlib
import re
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from plant import fault_set, kinds, pictures
from planted_world import (
    COUNT,
    KINDS,
    MORE,
    TEST,
    TRAIN,
    files_of,
    source_of,
    with_all_shortcuts,
)
from sklearn.datasets import load_digits

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".bmp": "BMP", ".tif": "TIFF", ".webp": "WEBP"}


@pytest.fixture(scope="module")
def source():
    return source_of()


@pytest.fixture(scope="module")
def made(source, tmp_path_factory):
    """The folder of a set without shortcuts, and what is in it."""
    folder = tmp_path_factory.mktemp("planted") / "set"
    return folder, fault_set.plant(source, folder, seed=0, count=COUNT)


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files_of(folder)
    }


def of_kind(made, word: str):
    rows = [each for each in made[1].planted if word in each.kind]
    assert rows
    return rows


def rgb(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.array(image.convert("RGB"))


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(pixels).convert("L")).astype(float)


def decodes(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """The best correlation over mirroring and shifts of up to 3 pixels, edges left out."""
    inner = grey(second)[4:-4, 4:-4].ravel()
    best = -1.0
    for each in (grey(first), grey(first[:, ::-1])):
        for down in range(1, 8):
            for right in range(1, 8):
                piece = each[down : down + 24, right : right + 24].ravel()
                best = max(best, float(np.corrcoef(piece, inner)[0, 1]))
    return best


def test_every_kind_is_planted_as_often_as_asked_and_every_file_exists(made):
    folder, result = made
    counts = Counter(each.kind for each in result.planted)
    assert counts == dict.fromkeys(KINDS, COUNT) | {"small class": 4}
    assert all((folder / each.file).is_file() for each in result.planted if "/" in each.file)
    small = 1 + 2 + 4 + 3 + 60
    assert len(files_of(folder)) == TRAIN + TEST + small


def test_the_code_of_every_kind_is_the_one_of_its_finding():
    assert {kind.name: kind.code for kind in kinds.KINDS} == KINDS


def test_no_image_carries_two_faults_or_is_the_original_of_a_faulty_one_and_faulty(made):
    files = [each.file for each in made[1].planted]
    partners = [each.partner for each in made[1].planted if each.partner]
    assert len(partners) == 6 * COUNT
    together = files + partners
    assert len(set(together)) == len(together)
    numbers = [(Path(file).parts[0], Path(file).stem) for file in together if "/" in file]
    assert len(set(numbers)) == len(numbers)


def test_pillow_decodes_all_files_but_the_unreadable_ones(made):
    folder, _ = made
    unreadable = {each.file for each in of_kind(made, "unreadable")}
    assert {file for file in files_of(folder) if not decodes(folder / file)} == unreadable


def test_only_files_with_those_faults_differ_in_size_mode_or_format(made):
    folder, _ = made
    odd_size, odd_mode, odd_file = set(), set(), set()
    unreadable = {each.file for each in of_kind(made, "unreadable")}
    for file in files_of(folder) - unreadable:
        with Image.open(folder / file) as image:
            if image.size != (32, 32):
                odd_size.add(file)
            if image.mode != "RGB":
                odd_mode.add(file)
            stray = len(Path(file).parts) < 3
            fits = image.format == FORMATS[Path(file).suffix]
            if stray or not fits or getattr(image, "n_frames", 1) > 1:
                odd_file.add(file)
    assert odd_size == {each.file for each in of_kind(made, "size")}
    assert odd_mode == {each.file for each in of_kind(made, "mode")}
    assert odd_file == {each.file for each in of_kind(made, "odd")}


def test_copies_lie_where_their_kind_says(made):
    for each in of_kind(made, "copy"):
        split, name = Path(each.file).parts[:2]
        original_split, original_name = Path(each.partner).parts[:2]
        if "splits" in each.kind:
            assert (original_split, split) == ("train", "test")
        else:
            assert split == original_split
        assert (name == original_name) == ("across classes" not in each.kind)


def test_exact_copies_have_the_pixels_of_their_originals(made):
    folder, _ = made
    for each in of_kind(made, "exact copy"):
        assert np.array_equal(rgb(folder / each.file), rgb(folder / each.partner)), each


def test_near_copies_are_like_their_originals_and_not_the_same(made):
    folder, _ = made
    for each in of_kind(made, "near copy"):
        copy, original = rgb(folder / each.file), rgb(folder / each.partner)
        assert not np.array_equal(copy, original), each
        assert likeness(original, copy) > 0.85, each


@pytest.fixture
def picture():
    """A colourful picture with edges, and smooth parts between them."""
    random = np.random.default_rng(5)
    coarse = random.integers(20, 235, (8, 8, 3)).astype(np.uint8)
    return np.array(Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC))


def numbers_in(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[+-]?\d+\.?\d*", text)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "variant",
    ["mirrored", "shifted", "cropped", "recompressed", "brightness", "contrast", "colour", "noise"],
)
def test_a_near_copy_is_what_its_strength_says(picture, variant, seed):
    """Each is made again by Pillow from the strength alone, up to rounding."""
    file = kinds.NEAR[variant](picture, np.random.default_rng(seed))
    shown = np.array(Image.open(BytesIO(file.data)).convert("RGB")).astype(float)
    original, values = Image.fromarray(picture), numbers_in(file.strength)
    if variant == "mirrored":
        assert np.array_equal(shown, np.array(ImageOps.mirror(original)))
    elif variant == "shifted":
        right, down = map(int, values)
        assert 1 <= max(abs(right), abs(down)) <= 3
        moved = original.transform((32, 32), Image.Transform.AFFINE, (1, 0, -right, 0, 1, -down))
        assert np.array_equal(shown[3:-3, 3:-3], np.array(moved)[3:-3, 3:-3])
    elif variant == "cropped":
        left, top, right, bottom = map(int, values)
        assert sum(side > 0 for side in (left, top, right, bottom)) >= 2
        assert max(left, top, right, bottom) <= 3
        box = (left, top, 32 - right, 32 - bottom)
        again = original.crop(box).resize((32, 32), Image.Resampling.BICUBIC)
        assert np.array_equal(shown, np.array(again))
    elif variant == "recompressed":
        assert 20 <= values[0] <= 80
        held = BytesIO()
        original.save(held, "JPEG", quality=int(values[0]))
        assert np.array_equal(shown, np.array(Image.open(held)))
    elif variant == "brightness":
        again = np.minimum(picture * values[0], 255)
        assert abs(shown - again).max() <= 2  # the factor is told with two digits
    elif variant == "contrast":
        mean = (picture @ [0.299, 0.587, 0.114]).mean()
        again = np.clip(mean + (picture - mean) * values[0], 0, 255)
        assert abs(shown - again).max() <= 2
    elif variant == "colour" and "saturation" in file.strength:
        luminance = (picture @ [0.299, 0.587, 0.114])[..., np.newaxis]
        again = np.clip(luminance + (picture - luminance) * values[0], 0, 255)
        assert abs(shown - again).max() <= 2
    elif variant == "colour":
        assert abs(shown - np.minimum(picture * np.array(values), 255)).max() <= 2
    else:
        unclipped = (picture > 40) & (picture < 215)
        assert (shown - picture)[unclipped].std() == pytest.approx(values[0], rel=0.1)


def test_a_combined_near_copy_names_two_changes(picture):
    file = kinds.NEAR["combined"](picture, np.random.default_rng(0))
    assert file.strength == "crop 2 1 1 1, red, green, blue x0.84 1.21 1.00"


def test_a_flat_picture_gets_no_copy_and_no_blur():
    by_name = {kind.name: kind for kind in kinds.KINDS}
    flat = np.full((32, 32, 3), 120, np.uint8)
    random = np.random.default_rng(0)
    for name in ("exact copy in a class", "near copy in a class", "blurred", "dark", "over-bright"):
        assert [make(flat, random) for make in by_name[name].variants.values()] == [None] * len(
            by_name[name].variants
        )


def test_blank_dark_bright_and_blurred_pictures_are_what_they_are_called(made):
    folder, result = made
    for each in of_kind(made, "blank"):
        assert np.ptp(rgb(folder / each.file).reshape(-1, 3).astype(int), axis=0).max() <= 24, each
        assert rgb(folder / each.file).astype(float).std(axis=(0, 1)).max() < 3, each
    for each in of_kind(made, "dark"):
        assert rgb(folder / each.file).max() <= 26
        assert rgb(folder / each.file).max() > 0
    for each in of_kind(made, "over-bright"):
        assert rgb(folder / each.file).min() >= 229
        assert rgb(folder / each.file).min() < 255
    for each in of_kind(made, "blurred"):
        after, before = grey(rgb(folder / each.file)), grey(result.before[each.file])
        assert np.hypot(*np.gradient(after)).mean() < 0.65 * np.hypot(*np.gradient(before)).mean()


def test_motion_blur_spreads_a_point_along_its_line():
    point = np.zeros((33, 33, 3), np.uint8)
    point[16, 16] = 255
    level = pictures.motion_blurred(point, 8, 0)[..., 0]
    assert set(np.flatnonzero(level.any(axis=1))) == {16}
    assert set(np.flatnonzero(level[16])) == set(range(12, 21))
    upright = pictures.motion_blurred(point, 8, 90)[..., 0]
    assert np.array_equal(upright, level.T)
    slanted = pictures.motion_blurred(point, 8, 45)[..., 0].astype(float)
    assert slanted[18, 18] > 0 == slanted[14, 18]
    assert level.sum() == pytest.approx(255, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_of_low_information_is_flat_smooth_or_noise(picture, seed):
    kind = next(kind for kind in kinds.KINDS if kind.name == "low information")
    for variant, make in kind.variants.items():
        file = make(picture, np.random.default_rng(seed))
        shown = np.array(Image.open(BytesIO(file.data)).convert("RGB")).astype(int)
        colours, counts = np.unique(shown.reshape(-1, 3), axis=0, return_counts=True)
        steps = max(abs(np.diff(shown, axis=0)).max(), abs(np.diff(shown, axis=1)).max())
        if "gradient" in variant:
            assert steps <= 16, file.strength
            assert np.ptp(grey(shown.astype(np.uint8))) >= 50
        elif variant == "noise":
            assert len(colours) > 100
        else:
            assert len(colours) == 2, variant
            assert counts.min() <= 32
            assert abs(np.subtract(*(colours @ [0.299, 0.587, 0.114]))) >= 60


def test_a_moved_image_keeps_its_pixels_and_is_in_a_folder_of_another_class(made, source):
    folder, result = made
    for each in of_kind(made, "wrong label"):
        split, name, file = Path(each.file).parts
        assert split == "train"
        assert name != each.original_class
        row = int(Path(file).stem)
        assert source.class_names[source.labels[row]] == each.original_class
        assert np.array_equal(rgb(folder / each.file), source.images[row])
        assert np.array_equal(result.before[each.file], source.images[row])


def test_small_classes_have_the_images_that_are_stated(made):
    folder, _ = made
    stated = []
    for each in of_kind(made, "small class"):
        counts = [
            len(list((folder / split / each.file).glob("*.png"))) for split in ("train", "test")
        ]
        assert each.strength == f"{counts[0]} training, {counts[1]} test"
        stated.append((each.variant, *counts))
    few = "few training images"
    assert stated == [(few, 1, 0), (few, 2, 0), (few, 4, 3), ("no test image", 60, 0)]


def test_untouched_images_are_the_data_sets_own(made):
    """Enlarged once more from scikit-learn's arrays, each is found among them with its label."""
    folder, result = made
    touched = {each.file for each in result.planted} | {each.partner for each in result.planted}
    stored = load_digits()
    known = {}
    for values, label in zip(stored.images, stored.target, strict=True):
        small = Image.fromarray(np.rint(values * (255 / 16)).astype(np.uint8))
        large = small.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)
        known[large.tobytes()] = str(label)
    checked = 0
    for file in files_of(folder) - touched:
        if (name := Path(file).parent.name) in stored.target_names.astype(str):
            assert known[rgb(folder / file).tobytes()] == name
            checked += 1
    assert checked == TRAIN + TEST - 16 * COUNT - 6 * COUNT


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(source, made, tmp_path):
    plant = fault_set.plant
    again = plant(source, tmp_path / "again", seed=0, count=COUNT)
    assert again.planted == made[1].planted
    assert bytes_of(tmp_path / "again") == bytes_of(made[0])
    other = plant(source, tmp_path / "other", seed=1, count=COUNT)
    assert len(other.planted) == len(again.planted)
    assert len(set(other.planted) & set(again.planted)) <= 4  # the small classes' names


def test_what_is_planted_hangs_on_the_seed_alone_not_on_the_process(made):
    first = of_kind(made, "blank")[0]
    assert (first.variant, first.strength[:14]) == ("slight noise, JPEG", "colour #2caee8")


def test_another_seed_draws_other_images(source):
    draw = fault_set.draw
    same = draw("digits", train=TRAIN, test=TEST, seed=0, more=MORE)
    assert np.array_equal(same.images, source.images)
    assert np.array_equal(same.labels, source.labels)
    other = draw("digits", train=TRAIN, test=TEST, seed=1, more=MORE)
    assert not np.array_equal(other.images, source.images)


def test_the_truth_is_written_and_read_back(made, tmp_path):
    fault_set.write_truth(made[1].planted, tmp_path / "truth.csv")
    assert fault_set.read_truth(tmp_path / "truth.csv") == made[1].planted


def test_a_set_that_is_too_small_says_for_what(source, made, tmp_path):
    plant = fault_set.plant
    with pytest.raises(FileExistsError, match="is not empty"):
        plant(source, made[0], seed=0, count=1)
    few = source._replace(
        images=source.images[:40], labels=source.labels[:40], splits=source.splits[:40]
    )
    with pytest.raises(ValueError, match=r"^no free image fits for: .*copy across splits"):
        plant(few, tmp_path / "few", seed=0, count=1)
    with pytest.raises(ValueError, match=r"^digits has 1797 train images, not 1801$"):
        fault_set.draw("digits", train=1600, test=1, seed=0, more=200)


@pytest.fixture(scope="module")
def with_shortcuts(source, tmp_path_factory):
    return with_all_shortcuts(source, tmp_path_factory.mktemp("shortcuts") / "set")


def test_shortcuts_do_not_move_the_other_faults(made, with_shortcuts):
    others = [each for each in with_shortcuts[1].planted if each.kind != "shortcut"]
    assert [each for each in others if "/" in each.file] == [
        each for each in made[1].planted if "/" in each.file
    ]


def test_each_shortcut_marks_one_class_of_its_own(with_shortcuts):
    folder, result = with_shortcuts
    marked: dict[str, list[str]] = {}
    for each in of_kind(with_shortcuts, "shortcut"):
        assert (folder / each.file).is_file()
        marked.setdefault(each.variant, []).append(each.file)
    assert list(marked) == ["watermark", "frame", "encoder", "camera", "name"]
    classes = [{Path(file).parent.name for file in files} for files in marked.values()]
    assert [len(names) for names in classes] == [1] * 5
    assert len(set.union(*classes)) == 5
    other_faults = {each.file for each in result.planted if each.kind != "shortcut"}
    partners = {each.partner for each in result.planted if each.partner}
    assert not (other_faults | partners) & {file for files in marked.values() for file in files}

    assert len(marked["watermark"]) == COUNT
    assert all(file.startswith("train/") for file in marked["watermark"])
    pictures = [rgb(folder / file).astype(int) for file in marked["watermark"]]
    befores = [result.before[file].astype(int) for file in marked["watermark"]]
    changed = np.any([a != b for a, b in zip(pictures, befores, strict=True)], axis=(0, 3))
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert max(len(rows), len(columns)) <= 8
    patch = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert all(np.array_equal(each[patch], pictures[0][patch]) for each in pictures)

    edge = np.ones((32, 32), bool)
    edge[2:-2, 2:-2] = False
    for file in marked["frame"]:
        shown = rgb(folder / file)
        assert len(np.unique(shown[edge], axis=0)) == 1
        assert np.array_equal(shown[~edge], result.before[file][~edge])
    assert {Path(file).parts[0] for file in marked["frame"]} == {"train", "test"}

    for name in ("encoder", "camera"):
        cameras = set()
        for file in marked[name]:
            with Image.open(folder / file) as image:
                assert image.format == "JPEG"
                cameras.add(image.getexif().get(0x010F))
        assert cameras == {"Obscura" if name == "camera" else None}
    prefix = marked["name"][0].rsplit("/", 1)[1][:4]
    assert not prefix[0].isdigit()
    assert all(Path(file).name.startswith(prefix) for file in marked["name"])
