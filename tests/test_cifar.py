"""Tests of tinyscope.data.cifar."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from archive_server import ArchiveServer, archive_server

from tinyscope.data import cifar, download
from tinyscope.data.cifar import ARCHIVES, Archive, load, read
from tinyscope.data.dataset import Splits
from tinyscope.errors import DataError

TRAIN, TEST = 20, 10  # records of a member in the small archives
NAMES = {"cifar10": 10, "cifar100": 100}


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def labels(count: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, count)


def class_names(name: str) -> list[str]:
    return [f"thing_{k:02}" for k in range(NAMES[name])]


def contents(archive: Archive, name: str) -> dict[str, bytes]:
    """The members of an archive, written byte by byte as the CIFAR page describes them."""
    binary = archive.label_bytes is not None
    files = {}
    for number, file in enumerate((*archive.train, archive.test)):
        count = TEST if file == archive.test else TRAIN
        images, fine = pixels(count, number), labels(count, NAMES[name], number)
        records = []
        for image, label in zip(images, fine, strict=True):
            planes = b"".join(image[:, :, channel].tobytes() for channel in range(3))
            coarse = bytes([7]) if name == "cifar100" else b""
            records.append(coarse + bytes([label]) + planes if binary else planes)
        if binary:
            files[file] = b"".join(records)
        else:
            data = np.frombuffer(b"".join(records), np.uint8).reshape(count, 3072)
            batch = {
                archive.labels_key: fine.tolist(),
                "data": data,
                "filenames": [f"img_{row}.png" for row in range(count)],
            }
            if name == "cifar100":
                batch["coarse_labels"] = [7] * count
            files[file] = pickle.dumps(batch, 2)
    if binary:
        files[archive.names] = ("\n".join(class_names(name)) + "\n\n").encode()
    else:
        files[archive.names] = pickle.dumps({archive.names_key: class_names(name)}, 2)
    return files


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        folder = tarfile.TarInfo(next(iter(files)).split("/")[0])
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def small(archive: Archive, content: bytes, sources: tuple[str, ...] = ()) -> Archive:
    """The official layout with few records."""
    return archive._replace(
        train_records=TRAIN,
        test_records=TEST,
        md5=hashlib.md5(content).hexdigest(),
        sources=sources,
    )


def check(splits: Splits, name: str) -> None:
    members = 5 if name == "cifar10" else 1
    expected = np.concatenate([pixels(TRAIN, n) for n in range(members)])
    np.testing.assert_array_equal(splits.train.images, expected)
    assert splits.train.images.flags.c_contiguous
    np.testing.assert_array_equal(
        splits.train.labels, np.concatenate([labels(TRAIN, NAMES[name], n) for n in range(members)])
    )
    assert splits.test is not None
    np.testing.assert_array_equal(splits.test.images, pixels(TEST, members))
    np.testing.assert_array_equal(splits.test.labels, labels(TEST, NAMES[name], members))
    assert splits.train.class_names == tuple(class_names(name))
    assert (splits.name, splits.validation) == (name, None)
    assert [part.split for part in splits.parts()] == ["train", "test"]


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with archive_server() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "PAUSE", 0.0)
    return tmp_path


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("version", [0, 1], ids=["binary", "python"])
def test_an_archive_of_the_official_layout_is_read_pixel_by_pixel(name, version, tmp_path):
    official = ARCHIVES[name][version]
    content = packed(contents(official, name))
    path = tmp_path / official.file
    path.write_bytes(content)

    check(read(path, small(official, content), name=name), name)

    assert [file.name for file in tmp_path.iterdir()] == [official.file]  # nothing was unpacked


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_binary_version_is_downloaded_once_and_kept(name, server, cache, monkeypatch):
    binary, python = ARCHIVES[name]
    content = packed(contents(binary, name))
    url, served = server.serve(binary.file, content, cuts=[len(content) // 2])
    monkeypatch.setitem(cifar.ARCHIVES, name, (small(binary, content, (url,)), python))

    check(load(name), name)
    check(load(name), name)

    assert len(served.asked) == 2  # the cut try and its continuation


def test_a_python_archive_put_there_by_hand_is_used_without_a_download(cache, monkeypatch):
    binary, python = ARCHIVES["cifar10"]
    content = packed(contents(python, "cifar10"))
    (cache / python.file).write_bytes(content)
    unreachable = small(binary, b"", ("http://127.0.0.1:9/x",))
    monkeypatch.setitem(cifar.ARCHIVES, "cifar10", (unreachable, small(python, content)))

    check(load("cifar10"), "cifar10")


def test_the_python_version_is_fetched_where_the_binary_one_cannot_be(server, cache, monkeypatch):
    binary, python = ARCHIVES["cifar100"]
    content = packed(contents(python, "cifar100"))
    wrong, _ = server.serve("wrong", b"<html>")
    right, _ = server.serve("right", content)
    monkeypatch.setitem(
        cifar.ARCHIVES,
        "cifar100",
        (small(binary, b"other", (wrong,)), small(python, content, (right,))),
    )

    check(load("cifar100"), "cifar100")


def test_where_neither_can_be_had_the_message_tells_how_to_get_the_binary_one(
    server, cache, monkeypatch
):
    binary, python = ARCHIVES["cifar10"]
    gone = f"{server.address}gone/{binary.file}"
    monkeypatch.setitem(
        cifar.ARCHIVES,
        "cifar10",
        (binary._replace(sources=(gone,)), python._replace(sources=(gone,))),
    )
    host = server.address.split("/")[2]

    with pytest.raises(DataError) as caught:
        load("cifar10")

    assert str(caught.value) == (
        f"cifar-10-binary.tar.gz could not be downloaded ({host}: 404 Not Found). Fetch {gone} by "
        f"hand (md5 c32a1d4ab5d03f1284b67883e8d87530) and put it at "
        f"{cache / 'cifar-10-binary.tar.gz'}."
    )


def test_a_wrong_archive_in_the_cache_is_named_and_kept(cache):
    path = cache / "cifar-100-binary.tar.gz"
    path.write_bytes(b"half a download")

    with pytest.raises(DataError) as caught:
        load("cifar100")

    assert str(caught.value) == (
        f"{path} is not the official archive: its md5 is "
        f"{hashlib.md5(b'half a download').hexdigest()}; expected "
        "03b5dce01913d631647c71ecec9e9cb8. Remove it, and it is downloaded again."
    )
    assert path.exists()


def fault(tmp_path: Path, archive: Archive, content: bytes) -> str:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path, small(archive, content), name="cifar10")
    return str(caught.value).removeprefix(str(path))


def test_a_member_that_is_missing_too_long_or_too_short_is_named(tmp_path):
    binary = ARCHIVES["cifar10"][0]
    files = contents(binary, "cifar10")
    batch = "cifar-10-batches-bin/data_batch_2.bin"

    without = {name: content for name, content in files.items() if name != batch}
    assert fault(tmp_path, binary, packed(without)) == f" has no member {batch}."
    assert fault(tmp_path, binary, packed(files | {batch: files[batch] + b"x"})) == (
        f": {batch} has 61,461 bytes; expected 61,460 at most."
    )
    assert fault(tmp_path, binary, packed(files | {batch: files[batch][:-1]})) == (
        ": 61,459 bytes for 20 records of 3,073."
    )


def test_a_member_that_is_a_link_is_not_followed(tmp_path):
    binary = ARCHIVES["cifar10"][0]
    files = contents(binary, "cifar10")
    secret = tmp_path / "secret"
    secret.write_bytes(files.pop(binary.test))
    out = io.BytesIO(packed(files))
    again = io.BytesIO()
    with (
        tarfile.open(fileobj=out, mode="r:gz") as plain,
        tarfile.open(fileobj=again, mode="w:gz") as tar,
    ):
        for member in plain:
            tar.addfile(member, plain.extractfile(member))
        link = tarfile.TarInfo(binary.test)
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(link)

    assert fault(tmp_path, binary, again.getvalue()) == f" has no member {binary.test}."


def test_an_archive_that_is_cut_off_is_one_line(tmp_path):
    binary = ARCHIVES["cifar10"][0]
    content = packed(contents(binary, "cifar10"))
    assert "is damaged" in fault(tmp_path, binary, content[: len(content) // 2])
    assert "is damaged" in fault(tmp_path, binary, b"<html>")


def test_a_malicious_batch_is_refused_by_name(tmp_path):
    python = ARCHIVES["cifar10"][1]
    files = contents(python, "cifar10")
    files[python.test] = b"\x80\x02cos\nsystem\nU\x04true\x85R."
    assert fault(tmp_path, python, packed(files)) == (
        ": A pickle that asks for os.system; only plain values and arrays are read."
    )


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ([1], ': a batch without "data", uint8 (10, 3072).'),
        ({"data": np.zeros((5, 3072), np.int16)}, ': a batch without "data", uint8 (10, 3072).'),
        (
            {"data": np.zeros((10, 3072), np.uint8), "labels": [0.5] * 10},
            ': a batch without "labels", a list of 10 numbers.',
        ),
    ],
)
def test_a_batch_of_another_layout_says_what_is_missing(tmp_path, batch, expected):
    python = ARCHIVES["cifar10"][1]
    files = contents(python, "cifar10")
    files[python.test] = pickle.dumps(batch, 2)
    assert fault(tmp_path, python, packed(files)) == expected


def test_the_archives_are_described_as_officially_published():
    described = {archive.file: archive.md5 for pair in ARCHIVES.values() for archive in pair}
    assert described == {
        "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
        "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
        "cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8",
        "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85",
    }
    for archive in (archive for pair in ARCHIVES.values() for archive in pair):
        assert archive.sources[0] == f"https://www.cs.toronto.edu/~kriz/{archive.file}"
        assert all(source.startswith("https://") for source in archive.sources)
        assert all(source.endswith(f"/{archive.file}") for source in archive.sources)
        assert len(archive.train) * archive.train_records == 50_000
