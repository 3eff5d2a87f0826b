import io
import json
import logging
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyscope.data import decoded_cache
from tinyscope.data.dataset import ImageDataset, LeftOut, Preprocessing
from tinyscope.data.encoded import Encoded, Found

PREPROCESSING = Preprocessing(16, 16, 3)


def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return pixels, buffer.getvalue()


class Source:
    """40 pictures in two splits, the 7th of them broken, that counts how often it is read."""

    def __init__(self, folder):
        self.folder = folder
        self.times_read = 0
        self.odd = {"train": [LeftOut("there", "a link to nowhere")], "test": []}
        folder.mkdir()
        (folder / "stamp").write_text("1")
        made = [picture(seed) for seed in range(40)]
        self.data = [data for _, data in made]
        self.data[7] = b"broken"
        self.pixels = np.stack([pixels for pixels, _ in made])

    def _read(self, first, last):
        self.times_read += 1
        return iter(self.data[first:last])

    def load(self, size=None):
        parts = [
            Encoded(
                split,
                tuple(f"{row}.png" for row in range(first, last)),
                np.arange(first, last) % 2,
                lambda first=first, last=last: self._read(first, last),
            )
            for split, first, last in (("train", 0, 30), ("test", 30, 40))
        ]
        stamp = self.folder / "stamp"
        found = Found("here", ("even", "odd"), parts, self.odd, lambda: [stamp])
        return decoded_cache.decode_found(
            found, origin=self.folder, size=size, choose=lambda: PREPROCESSING
        )

    def check(self, loaded):
        train, test = loaded
        kept = [row for row in range(30) if row != 7]
        np.testing.assert_array_equal(train.images, self.pixels[kept])
        np.testing.assert_array_equal(train.labels, np.array(kept) % 2)
        assert train.files == tuple(f"{row}.png" for row in kept)
        assert train.left_out == (*self.odd["train"], ("7.png", "not an image"))
        np.testing.assert_array_equal(test.images, self.pixels[30:])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "source")


@pytest.fixture(params=["in memory", "mapped"])
def kind(request, monkeypatch):
    if request.param == "mapped":
        monkeypatch.setattr(decoded_cache, "MAPPED_ABOVE", 1000)
    return request.param


def is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def test_the_second_load_decodes_nothing_and_is_the_same(cache, source, kind):
    for _ in range(2):
        loaded = source.load()
        source.check(loaded)
        assert [is_mapped(part.images) for part in loaded] == [kind == "mapped"] * 2
        assert all(part.images.flags.writeable for part in loaded)
    assert source.times_read == 2  # once a split
    assert [path.name[0] != "." for path in cache.iterdir()] == [True]


def test_pixels_are_hashed_once_a_load_and_fingerprints_stay_the_same(
    cache, source, kind, monkeypatch
):
    hashed, digest_pixels = [], ImageDataset._digest_pixels

    def counted(dataset, digest):
        hashed.append(dataset.split)
        digest_pixels(dataset, digest)

    monkeypatch.setattr(ImageDataset, "_digest_pixels", counted)
    found = []
    for _ in range(2):
        hashed.clear()
        loaded = source.load()
        found.append([part.fingerprint for part in loaded])
        assert hashed == ["train", "test"]
    assert found[0] == found[1] == [replace(part).fingerprint for part in loaded]


def test_writing_to_a_mapped_array_changes_no_file(cache, source, monkeypatch):
    monkeypatch.setattr(decoded_cache, "MAPPED_ABOVE", 1000)
    source.load()[0].images[:] = 0
    source.check(source.load())


def test_a_changed_file_is_decoded_again_and_replaces_the_old_entry(cache, source):
    source.load()
    stamp = source.folder / "stamp"
    os.utime(stamp, ns=(0, stamp.stat().st_mtime_ns + 1))
    source.load()
    assert source.times_read == 4
    stamp.write_text("22")
    source.load()
    assert source.times_read == 6
    assert len(list(cache.iterdir())) == 1


def test_another_size_and_another_decoder_are_other_entries(cache, source, monkeypatch):
    source.load()
    source.load(size=16)
    assert source.times_read == 4
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr(decoded_cache, "DECODER_VERSION", -1)
    source.load()
    assert source.times_read == 6


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


def blackened(path):
    """As a power cut leaves a file whose length was kept and whose blocks were not."""
    whole = path.read_bytes()
    path.write_bytes(whole[:128] + bytes(len(whole) - 128))


def changed(**values):
    def change(path):
        contents = json.loads(path.read_text())
        contents["train"] |= values
        path.write_text(json.dumps(contents))

    return change


DAMAGES = {
    "contents cut off": ("contents.json", lambda path: path.write_text("{")),
    "contents of zeros": ("contents.json", lambda path: path.write_bytes(bytes(80))),
    "contents deeply nested": ("contents.json", lambda path: path.write_text("[" * 200_000)),
    "contents no table": ("contents.json", lambda path: path.write_text("[1]")),
    "a reason for no row": ("contents.json", changed(left_out=[[99, "truncated"]])),
    "another reason": ("contents.json", changed(left_out=[[6, "truncated"]])),
    "pixels cut off": ("train.npy", cut),
    "pixels gone": ("train.npy", lambda path: path.write_bytes(b"")),
    "pixels of zeros": ("train.npy", blackened),
    "all of zeros": ("train.npy", lambda path: path.write_bytes(bytes(5000))),
    "another count": ("train.npy", lambda path: np.save(path, np.zeros((3, 16, 16, 3), np.uint8))),
    "another type": ("train.npy", lambda path: np.save(path, np.zeros((30, 16, 16, 3)))),
    "another shape": ("train.npy", lambda path: np.save(path, np.zeros((30, 16), np.uint8))),
    "no axes": ("train.npy", lambda path: np.save(path, np.uint8(3))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_decoded_again(cache, source, kind, damage, caplog):
    source.load()
    (entry,) = cache.iterdir()
    name, spoil = DAMAGES[damage]
    spoil(entry / name)
    source.check(source.load())
    assert f"{entry} is damaged (" in caplog.text
    source.check(source.load())
    assert source.times_read == 4


def test_an_entry_is_on_the_disk_and_no_longer_mapped_before_it_takes_its_place(
    cache, source, monkeypatch
):
    """A power cut leaves no half of it, and Windows renames no folder with a mapped file."""
    maps = Path("/proc/self/maps")
    flushed, seen = set(), []

    def flush(number, plain=os.fsync):
        flushed.add(os.fstat(number).st_ino)
        plain(number)

    def replace(draft, entry, plain=os.replace):
        files = list(Path(draft).iterdir())
        seen.append((len(files), all(file.stat().st_ino in flushed for file in files)))
        assert not maps.exists() or str(draft) not in maps.read_text()
        plain(draft, entry)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", replace)
    source.check(source.load())
    assert seen == [(3, True)]


@pytest.mark.parametrize("gone", ["contents.json", "train.npy"])
def test_an_entry_that_a_cleaner_has_halved_is_made_again(cache, source, gone, caplog):
    source.load()
    (entry,) = cache.iterdir()
    (entry / gone).unlink()
    source.check(source.load())
    source.check(source.load())
    assert source.times_read == 4
    assert caplog.text == ""


def test_a_source_is_known_again_however_its_path_is_spelled(cache, source, monkeypatch):
    source.load()
    source.folder = source.folder / ".." / source.folder.name
    source.check(source.load())
    assert source.times_read == 2
    assert len(list(cache.iterdir())) == 1


def test_an_interrupted_decoding_leaves_nothing(cache, source, kind, monkeypatch):
    def interrupted(first, last):
        yield source.data[first]
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        source.load()
    assert list(cache.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away(cache, source):
    old, new = cache / ".1-2-old", cache / ".1-2-new"
    old.mkdir(parents=True)
    new.mkdir()
    os.utime(old, (0, 0))
    source.load()
    assert not old.exists()
    assert new.exists()


def test_a_cache_that_cannot_be_made_costs_a_line_not_the_result(
    tmp_path, source, kind, caplog, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        source.check(source.load())
    assert [record.message for record in caplog.records] == [
        f"Decoded images cannot be kept in {tmp_path}/file/decoded (Not a directory); "
        "here is decoded anew each time."
    ]


@pytest.mark.parametrize("when", ["reserving", "at the end"])
def test_a_full_disk_costs_a_line_not_the_result(cache, source, kind, when, caplog, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    if when == "reserving":
        monkeypatch.setattr(decoded_cache, "_reserve", full)
    else:
        monkeypatch.setattr(decoded_cache, "flush_to_disk", full)
    source.check(source.load())
    assert [record.message for record in caplog.records] == [
        f"Decoded images cannot be kept in {cache} (No space left on device); "
        "here is decoded anew each time."
    ]
    assert list(cache.iterdir()) == []


def test_another_process_that_was_faster_is_no_fault(cache, source, monkeypatch, caplog):
    replace = os.replace

    def late(draft, entry):
        if not Path(entry).exists():
            Path(entry).mkdir()
            for file in Path(draft).iterdir():
                (Path(entry) / file.name).write_bytes(file.read_bytes())
        return replace(draft, entry)

    monkeypatch.setattr(os, "replace", late)
    source.check(source.load())
    source.check(source.load())
    assert source.times_read == 2
    assert caplog.records == []


@pytest.mark.parametrize("broken", [[0], [39], [3, 4, 5, 20], range(0, 40, 2), range(38)])
def test_images_close_up_where_others_are_left_out(source, broken, monkeypatch):
    monkeypatch.setattr(decoded_cache, "_MOVED", 3)
    data = [picture(seed)[1] for seed in range(40)]
    for row in broken:
        data[row] = b"broken"
    images, reasons = decoded_cache._decode(np.empty((40, 16, 16, 3), np.uint8), data)
    assert list(reasons) == list(broken)
    kept = [row for row in range(40) if row not in broken]
    np.testing.assert_array_equal(images, [picture(row)[0] for row in kept])


def test_memory_stays_near_the_size_of_the_array(cache, tmp_path):
    data = [picture(seed)[1] for seed in range(16)] * 125
    tracemalloc.start()
    images = np.empty((len(data), 16, 16, 3), np.uint8)
    decoded_cache._decode(images, iter(data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < images.nbytes + 1_000_000


def test_sizes_are_measured_in_order_and_broken_images_skipped(source):
    data = [*source.data[:9], picture(1)[1]]
    assert decoded_cache.measure_all(data) == [(16, 16)] * 9
