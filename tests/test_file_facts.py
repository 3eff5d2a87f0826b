import io
import math
import os
import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tinyscope.data import catalogue, image_folder
from tinyscope.data.file_facts import file_facts
from tinyscope.errors import DataError, InputError


def picture(size=(30, 20), mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def exif(**tags):
    """EXIF data with tags of the first table by their numbers, and when a photo was taken."""
    made = Image.Exif()
    taken = tags.pop("taken", None)
    made.update({int(tag[1:], 16): value for tag, value in tags.items()})
    if taken:
        made.get_ifd(0x8769)[0x9003] = taken
    return made


def animated(form, **options):
    return encoded(picture(), form, save_all=True, append_images=[picture().rotate(180)], **options)


def png_of(width, height):
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.fixture
def folder(tmp_path):
    """A folder that can be loaded, with three whole images in the class "b"."""
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for number in range(3):
        picture().save(tmp_path / f"photos/b/{number}.png")
    return tmp_path / "photos"


def facts_of(folder, name, data):
    """What is said of one file, as a table."""
    for number in range(3):
        picture().save(folder / f"a/z{number}.png")
    (folder / "a" / name).write_bytes(data)
    facts = file_facts(folder)["train"]
    row = facts.files.index(f"a/{name}")
    return {
        key: value[row].item() if isinstance(value, np.ndarray) else value[row]
        for key, value in vars(facts).items()
    }


@pytest.mark.parametrize(
    ("name", "data", "form", "mode"),
    [
        ("x.jpg", encoded(picture(), "JPEG"), "JPEG", "RGB"),
        ("x.JPEG", encoded(picture(mode="CMYK"), "JPEG"), "JPEG", "CMYK"),
        ("x.jfif", encoded(picture(mode="L"), "JPEG", progressive=True), "JPEG", "L"),
        ("x.png", encoded(picture(mode="RGBA"), "PNG"), "PNG", "RGBA"),
        ("x.png", encoded(picture(mode="1"), "PNG"), "PNG", "1"),
        ("x.png", encoded(Image.fromarray(np.zeros((20, 30), np.uint16)), "PNG"), "PNG", "I;16"),
        ("x.gif", encoded(picture(mode="P"), "GIF"), "GIF", "P"),
        ("x.webp", encoded(picture(), "WEBP"), "WEBP", "RGB"),
        ("x.bmp", encoded(picture(), "BMP"), "BMP", "RGB"),
        ("x.TIF", encoded(picture(), "TIFF", compression="tiff_lzw"), "TIFF", "RGB"),
        ("x", encoded(picture(), "PNG"), "PNG", "RGB"),
    ],
)
def test_the_header_tells_format_size_and_mode(folder, name, data, form, mode):
    told = facts_of(folder, name, data)
    assert math.isnan(told.pop("quantization")) is (form != "JPEG")
    assert told == {
        "files": f"a/{name}",
        "labels": 0,
        "format": form,
        "width": 30,
        "height": 20,
        "mode": mode,
        "size_bytes": len(data),
        "extension_fits": True,
        "animated": False,
        "readable": True,
        "exif": {},
    }


def steps_of(data):
    """All numbers of a JPEG's segments of quantization tables, of 8 bits each."""
    steps = []
    place = 2  # behind the mark of the beginning
    while data[place + 1] != 0xDA:  # until the pixels
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] == 0xDB:
            tables = data[place + 4 : place + 2 + length]
            steps += [step for at in range(0, len(tables), 65) for step in tables[at + 1 : at + 65]]
        place += 2 + length
    return steps


@pytest.mark.parametrize("options", [{}, {"quality": 30}, {"quality": 95, "progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_quantization_is_the_mean_step_of_a_jpegs_tables(folder, mode, options):
    data = encoded(picture(mode=mode), "JPEG", **options)
    assert facts_of(folder, "x.jpg", data)["quantization"] == pytest.approx(np.mean(steps_of(data)))


@pytest.mark.parametrize(
    ("name", "form", "fits"),
    [
        ("x.jpg", "PNG", False),
        ("x.png", "JPEG", False),
        ("x.jpg", "WEBP", False),
        ("x.jpeg.png", "JPEG", False),
        ("x.dat", "PNG", False),
        (".x.png.jpe".lstrip("."), "JPEG", True),
        ("x.apng", "PNG", True),
        ("x.tiff", "TIFF", True),
        ("2023-04-01 scan", "TIFF", True),
    ],
)
def test_the_ending_of_a_name_is_compared_with_the_content(folder, name, form, fits):
    assert facts_of(folder, name, encoded(picture(), form))["extension_fits"] is fits


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_is_told_from_a_picture(folder, form):
    told = facts_of(folder, "x", animated(form))
    assert (told["format"], told["animated"], told["readable"]) == (form, True, True)


def test_a_gif_whose_second_frame_is_damaged_is_no_animation(folder):
    data = animated("GIF")
    told = facts_of(folder, "x.gif", data[: data.rindex(b"\x2c\0\0\0\0") + 4])
    assert (told["animated"], told["readable"], told["width"]) == (False, True, 30)


def test_a_photo_that_carries_a_second_picture_is_a_jpeg(folder):
    data = animated("MPO")
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
    told = facts_of(folder, "x.jpg", data)
    assert (told["format"], told["extension_fits"], told["animated"]) == ("JPEG", True, False)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_is_that_of_the_picture_as_it_is_seen(folder, form, orientation):
    told = facts_of(folder, "x", encoded(picture(), form, exif=exif(t112=orientation)))
    assert (told["width"], told["height"]) == ((20, 30) if orientation >= 5 else (30, 20))
    assert told["exif"] == {"Orientation": orientation}


def test_tags_that_tell_a_source_are_kept_and_no_others(folder):
    tags = exif(
        t10F="  Canon\0\0rest",
        t110="EOS 5D",
        t131="line\nbreak " + 100 * "x",
        t132="2019:07:30 23:59:59",
        t13B="the artist",
        t112=9,
        taken="2018:01:02 03:04:05",
    )
    assert facts_of(folder, "x.jpg", encoded(picture(), "JPEG", exif=tags))["exif"] == {
        "Make": "Canon",
        "Model": "EOS 5D",
        "Software": "line break " + 69 * "x",
        "DateTime": "2019-07-30",
        "DateTimeOriginal": "2018-01-02",
    }


def test_damaged_exif_data_cost_their_tags_alone(folder):
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 40)
    told = facts_of(folder, "x.jpg", data)
    assert (told["readable"], told["width"], told["exif"]) == (True, 30, {})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!DOCTYPE html><html></html>",
        encoded(picture(), "JPEG")[:30],
        encoded(picture(), "PNG")[:20],
        png_of(30_000, 30_000),
        png_of(8_001, 8_000),
    ],
    ids=["empty", "page", "cut JPEG", "cut PNG", "900 Mpx", "64 Mpx"],
)
def test_what_cannot_be_read_has_its_name_label_and_size_alone(folder, data):
    told = facts_of(folder, "x.gif", data)
    assert math.isnan(told.pop("quantization"))
    assert told == {
        "files": "a/x.gif",
        "labels": 0,
        "format": "",
        "width": 0,
        "height": 0,
        "mode": "",
        "size_bytes": len(data),
        "extension_fits": True,
        "animated": False,
        "readable": False,
        "exif": {},
    }


def test_a_file_that_is_cut_off_behind_its_header_is_readable(folder):
    data = encoded(picture((200, 100)), "JPEG")
    told = facts_of(folder, "x.jpg", data[: len(data) // 2])
    assert (told["readable"], told["width"], told["size_bytes"]) == (True, 200, len(data) // 2)


def test_no_pixel_is_decoded(folder, monkeypatch):
    def refuse(*_):
        raise AssertionError("decoded")

    kinds = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")
    for number, form in enumerate(kinds):
        (folder / f"a/{number}").write_bytes(encoded(picture(), form, exif=exif(t112=6)))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    for part in ("GifImagePlugin.GifImageFile", "WebPImagePlugin.WebPImageFile"):
        monkeypatch.setattr(f"PIL.{part}.load", refuse, raising=False)
    facts = file_facts(folder)["train"]
    assert facts.format[:6].tolist() == list(kinds)
    assert facts.width[:6].tolist() == [20, 20, 30, 20, 20, 30]


def test_facts_stand_beside_the_images_that_were_loaded(folder):
    for number in range(40):
        (folder / f"a/{number:02}.png").write_bytes(
            b"" if number % 7 == 3 else encoded(picture((20 + number, 9)), "PNG")
        )
    (folder / "stray.png").write_bytes(b"")
    os.symlink("nowhere", folder / "a/link.png")
    train = catalogue.load(folder).train
    facts = file_facts(folder)["train"]
    assert len(facts) == 43
    assert {left.file for left in train.left_out} - set(facts.files) == {"stray.png", "a/link.png"}
    places = facts.positions(train)
    assert places.dtype == np.int64
    assert [facts.files[place] for place in places] == list(train.files)
    np.testing.assert_array_equal(facts.labels[places], train.labels)
    np.testing.assert_array_equal(facts.readable[places], True)
    assert sorted(set(range(43)) - set(places.tolist())) == [3, 10, 17, 24, 31, 38]
    assert facts.width[places][:4].tolist() == [20, 21, 22, 24]

    rows = np.array([30, 2, 2])
    np.testing.assert_array_equal(
        facts.positions(train.select(rows, split="validation")), places[rows]
    )


def test_a_file_that_has_come_since_is_told(folder):
    for number in range(3):
        picture().save(folder / f"a/{number}.png")
    facts = file_facts(folder)["train"]
    picture().save(folder / "a/new.png")
    with pytest.raises(DataError) as raised:
        facts.positions(catalogue.load(folder).train)
    assert str(raised.value) == (
        "photos/: a/new.png (train) is not among the 6 files found. If files have changed, load "
        "the data set again."
    )


def test_each_split_has_its_own(tmp_path):
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for name in ("a", "b"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for number in range(count):
                picture((10 * count, 9)).save(tmp_path / f"set/{split}/{name}/{number}.png")
    facts = file_facts(tmp_path / "set")
    assert {split: part.width.tolist() for split, part in facts.items()} == {
        "train": [30] * 6,
        "validation": [20] * 4,
        "test": [10] * 2,
    }
    assert facts["validation"].files[3] == "val/b/1.png"
    assert facts["validation"].labels.tolist() == [0, 0, 1, 1]


def test_images_in_parquet_shards_have_facts_too(tmp_path):
    data = [encoded(picture((20 + number, 9)), "WEBP") for number in range(7)]
    data[1] = data[1][:7]
    labels = [0, 0, 0, 1, 1, 1, 0, 1]
    table = pa.table({"image": pa.array([*data, None], pa.binary()), "label": labels})
    pq.write_table(table, tmp_path / "train.parquet")
    facts = file_facts(tmp_path)["train"]
    assert facts.files[1] == "train.parquet[1]"
    assert facts.labels.tolist() == labels
    assert facts.format.tolist() == ["WEBP", "", *["WEBP"] * 5, ""]
    assert facts.width.tolist() == [20, 0, 22, 23, 24, 25, 26, 0]
    assert facts.size_bytes.tolist() == [*map(len, data), 0]
    assert facts.extension_fits.all()
    assert facts.positions(catalogue.load(tmp_path).train).tolist() == [0, 2, 3, 4, 5, 6]


def test_arrays_have_no_files(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.arange(4) % 2)
    for source in ("digits", "cifar10", "cifar100", tmp_path / "a.npz"):
        assert file_facts(source) == {}


def test_a_source_that_cannot_be_loaded_is_refused_as_by_load(tmp_path):
    (tmp_path / "empty").mkdir()
    for source, kind in (("no-such-thing", InputError), (tmp_path / "empty", DataError)):
        with pytest.raises(kind) as raised:
            file_facts(source)
        with pytest.raises(kind) as expected:
            catalogue.load(source)
        assert str(raised.value) == str(expected.value)


def test_names_that_are_no_text_are_spelled_out_as_in_the_data_set(folder):
    for number in range(2):
        picture().save(folder / f"a/{number}.png")
    name = os.fsencode(folder / "a") + b"/\xff.png"
    try:
        with open(name, "wb") as file:
            file.write(encoded(picture(), "PNG"))
    except OSError:
        pytest.skip("this file system takes no such names")
    facts, train = file_facts(folder)["train"], image_folder.load(folder).train
    assert facts.files[2] == "a/\\xff.png"
    assert facts.files == train.files
    assert facts.readable.all()
