import collections

import image_formats
import numpy as np
import odd_files
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "cache"))


def test_every_file_is_accounted_for_once(tmp_path):
    made = odd_files.make(tmp_path / "folder", 150)
    assert len(made) > 150
    outcome = odd_files.check(tmp_path / "folder", made)
    assert outcome.faults == []
    fates = collections.Counter(file.fate for file in made)
    assert min(fates[fate] for fate in ("image", "left out", "clutter", "any")) >= 5
    total = sum(outcome.became.values(), collections.Counter())
    assert total.total() == len(made)
    assert total["image"] >= fates["image"]
    assert total["clutter"] == fates["clutter"]


def test_a_loader_that_loses_or_invents_files_is_caught(tmp_path):
    made = odd_files.make(tmp_path / "folder", 60)
    lost = next(file for file in made if file.fate == "image")
    (tmp_path / "folder" / lost.name).rename(tmp_path / "folder/train/ant/other.dat")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(odd_files, "_decode_each", lambda *_: {})
        faults = odd_files.check(tmp_path / "folder", made).faults
    assert f"{lost.name} ({lost.kind}) is accounted for 0 times" in faults
    assert "train/ant/other.dat is listed and was not written" in faults


def test_an_image_that_looks_otherwise_is_caught(tmp_path):
    (tmp_path / "a.png").write_bytes(odd_files.saved(Image.new("RGB", (9, 9), "red"), "PNG"))
    file = odd_files.File("a.png", "png", "image", seen=Image.new("RGB", (9, 9), "blue"))
    outcome = odd_files.Outcome()
    odd_files._decode_each(tmp_path, [file], outcome)
    assert outcome.faults == ["a.png (png) is off by 170"]  # 255 in two of three channels


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (9, 17), (5, 8)])
def test_pngs_written_by_hand_are_read_by_pillow(tmp_path, interlaced, bits, size):
    pixels = np.random.default_rng(bits).integers(0, 2**bits, (*size, 1))
    data = image_formats.png_file(pixels, bits, interlaced=interlaced)
    (tmp_path / "a.png").write_bytes(data)
    with Image.open(tmp_path / "a.png") as image:
        assert image.info.get("interlace", 0) == interlaced
        levels = 65_535 if bits == 16 else 255 if bits > 1 else 1
        read = np.asarray(image).astype(int)
    np.testing.assert_array_equal(read, pixels[..., 0] * levels // (2**bits - 1))
