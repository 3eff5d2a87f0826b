import io
import sys
import types
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tinyscope.data import cache_folder, catalogue
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "cache"))


def fault(given, **options):
    with pytest.raises(InputError) as raised:
        catalogue.load(given, **options)
    return str(raised.value)


def test_digits_are_scikit_learns_scans():
    splits = catalogue.load("digits")
    stored = load_digits()
    assert (splits.name, splits.validation, splits.test) == ("digits", None, None)
    assert splits.train.images.shape == (1797, 8, 8, 1)
    assert splits.train.class_names == tuple("0123456789")
    np.testing.assert_array_equal(splits.train.labels, stored.target)
    # 0 … 16 to 0 … 255: 16 -> 255, 1 -> 15.9 -> 16, 5 -> 79.7 -> 80
    first = stored.images[0][:, :, np.newaxis]
    assert set(splits.train.images[0][first == 5]) == {80}
    assert splits.train.images.max() == 255
    np.testing.assert_allclose(splits.train.images[..., 0] / 255 * 16, stored.images, atol=0.04)


def test_size_resizes_what_is_an_array_already():
    splits = catalogue.load("digits", size=12)
    assert splits.train.images.shape == (1797, 12, 12, 1)
    image = Image.fromarray(catalogue.load("digits").train.images[3, ..., 0])
    expected = np.asarray(image.resize((12, 12), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(splits.train.images[3, ..., 0], expected)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_names_go_to_the_official_archives(name, monkeypatch):
    asked = []

    def load(given):
        asked.append(given)
        images = np.zeros((2, 32, 32, 3), np.uint8)
        return Splits(given, ImageDataset(images, np.array([0, 1]), ("a", "b"), "train", given))

    fake = types.ModuleType("tinyscope.data.cifar")
    fake.load = load
    monkeypatch.setitem(sys.modules, "tinyscope.data.cifar", fake)
    monkeypatch.setattr("tinyscope.data.cifar", fake, raising=False)
    assert catalogue.load(name).train.images.shape == (2, 32, 32, 3)
    assert catalogue.load(name, size=16).train.images.shape == (2, 16, 16, 3)
    assert asked == [name, name]


def png(seed):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_folders_shards_and_arrays_of_the_same_images_are_the_same_data_set(tmp_path):
    files = [png(seed) for seed in range(6)]
    folder, shards = tmp_path / "photos", tmp_path / "shards"
    shards.mkdir()
    for row, data in enumerate(files):
        path = folder / ("cat" if row < 3 else "dog") / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    labels = ["cat"] * 3 + ["dog"] * 3
    pq.write_table(pa.table({"image": files, "label": labels}), shards / "train.parquet")
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in files])
    np.savez(
        tmp_path / "arrays.npz",
        images=pixels,
        labels=[0, 0, 0, 1, 1, 1],
        class_names=["cat", "dog"],
    )
    loaded = [catalogue.load(path) for path in (folder, str(shards), tmp_path / "arrays.npz")]
    assert [splits.name for splits in loaded] == ["photos", "shards", "arrays"]
    assert len({splits.fingerprint for splits in loaded}) == 1


def test_a_name_comes_before_a_folder_and_a_path_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for row in range(6):
        path = tmp_path / "digits" / ("cat" if row < 3 else "dog") / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(row))
    assert len(catalogue.load("digits").train) == 1797
    assert len(catalogue.load("./digits").train) == 6
    assert len(catalogue.load(Path("digits")).train) == 6
    assert catalogue.as_text(Path("./digits")) == "./digits"
    assert catalogue.as_text("digits") == "digits"
    assert catalogue.as_text(Path("photos")) == "photos"


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fault("cifar-10") == (
        'Unknown data set "cifar-10". Did you mean "cifar10"? '
        'Run "tinyscope list datasets" to see all 3.'
    )


def test_a_path_that_is_not_there_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "photos").mkdir()
    see = 'Run "tinyscope list datasets" to see the names that need no path.'
    assert fault(f"{tmp_path}/fotos") == (
        f'There is no "{tmp_path}/fotos". Did you mean "{tmp_path}/photos"? {see}'
    )
    assert fault(tmp_path / "nowhere/at/all") == (
        f'There is no "{tmp_path}/nowhere/at/all". Expected a folder of images, a folder of '
        f"parquet shards or a .npz file. {see}"
    )


def test_a_relative_path_that_is_not_there_is_told_with_the_folder_it_was_looked_for_from(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert fault("../photos-of-cats").startswith(
        f'There is no "../photos-of-cats" as seen from {tmp_path}. '
    )
    assert fault("mine") == (
        'Unknown data set "mine". Expected one of 3 names, or a folder of images, a folder of '
        f"parquet shards or a .npz file in {tmp_path}. "
        'Run "tinyscope list datasets" to see all 3.'
    )


def test_only_what_can_be_a_data_set_is_suggested(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "int.sh").touch()
    (tmp_path / "photos.toml").touch()
    assert 'Did you mean "digits"?' in fault("./digits")
    assert "Did you mean" not in fault("./photos")
    (tmp_path / "photos.npz").touch()
    assert 'Did you mean "photos.npz"?' in fault("./photos")
    (tmp_path / "fotos ü").mkdir()
    assert 'Did you mean "fotos ü"?' in fault("fotos u")


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    assert fault(tmp_path / "photos.zip") == (
        f"{tmp_path}/photos.zip is a file, but no .npz. Expected a folder of images, a folder of "
        "parquet shards or a .npz file."
    )


@pytest.mark.parametrize("size", [7, 513, "16", 16.0, True])
def test_a_size_out_of_range_is_refused(size):
    assert fault("digits", size=size) == (
        f"size = {size!r}: expected 8 to 512 pixels, the side, as a whole number."
    )


def test_a_size_may_be_a_number_of_numpy():
    assert catalogue.load("digits", size=np.int64(16)).train.preprocessing == (16, 16, 1)


def test_what_is_neither_a_name_nor_a_path_is_refused():
    assert fault(None) == (
        "A NoneType is no data set; expected a name or a path: a folder of images, a folder of "
        "parquet shards or a .npz file."
    )


def test_the_cache_folder_is_the_named_one_or_the_platforms(tmp_path, monkeypatch):
    assert cache_folder.cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("TINYSCOPE_CACHE", "~/here")
    assert cache_folder.cache_folder() == Path.home() / "here"
    monkeypatch.delenv("TINYSCOPE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "tinyscope" in str(cache_folder.cache_folder()).lower()
