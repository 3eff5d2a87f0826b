import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tinyscope import files
from tinyscope.errors import StorageError
from tinyscope.files import locked, replacing, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_written_with_the_folders_above_it(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "text.txt", "größer\n")
    assert (tmp_path / "a" / "b" / "text.txt").read_bytes() == "größer\n".encode()
    assert names(tmp_path / "a" / "b") == ["text.txt"]


def test_a_file_is_not_replaced_before_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_a_file_held_survives_a_failure_in_the_middle(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"half of the n")
            raise error("stopped")

    with pytest.raises(error, match="stopped"):
        fail()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["checkpoint"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from tinyscope.errors import StorageError
from tinyscope.files import replacing
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # else the limit kills the process
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with replacing(Path(sys.argv[1])) as file:
        for _ in range(50):
            file.write(bytes(10_000))
except StorageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
def test_what_a_file_held_survives_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        f"{path} cannot be written: File too large. What it held before is kept.\n"
    )
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["checkpoint"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    path = tmp_path / "file" / "below.txt"
    with pytest.raises(StorageError) as caught:
        write_text(path, "text")
    reason = str(caught.value).removeprefix(f"{path} cannot be written: ")
    assert reason in (
        "Not a directory. What it held before is kept.",
        "File exists. What it held before is kept.",
    )


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    with pytest.raises(StorageError) as caught:
        write_text(tmp_path / "place", "text")
    assert str(caught.value) == (
        f"{tmp_path / 'place'} cannot be written: it is a folder; expected the name of a file."
    )
    assert names(tmp_path) == ["place"]


@pytest.mark.skipif(sys.platform == "win32", reason="umask is POSIX")
@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_that_any_new_file_would_have(
    tmp_path: Path, mask: int, expected: int
) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "text.txt", "text")
        assert os.umask(mask) == mask  # reading it has not changed it
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "text.txt").stat().st_mode) == expected


def refusing(number: int, times: int, then: Callable[..., None]) -> Callable[..., None]:
    """Fails that often with that error of the system, then does what it should."""
    left = [times]

    def call(*arguments: object, **options: object) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        then(*arguments, **options)

    return call


def test_a_drive_that_takes_no_permissions_takes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "chmod", refusing(errno.EPERM, 9, os.chmod))
    write_text(tmp_path / "text.txt", "text")
    assert (tmp_path / "text.txt").read_text() == "text"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_drive_that_knows_no_fsync_takes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(number, 9, os.fsync))
    write_text(tmp_path / "text.txt", "text")
    assert (tmp_path / "text.txt").read_text() == "text"


def test_what_the_disk_could_not_keep_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO, 9, os.fsync))
    with pytest.raises(StorageError, match="Input/output error"):
        write_text(tmp_path / "text.txt", "text")
    assert names(tmp_path) == []


def test_a_file_that_another_program_holds_for_a_moment_is_replaced_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PATIENCE", 5.0)
    monkeypatch.setattr(os, "replace", refusing(errno.EACCES, 3, os.replace))
    write_text(tmp_path / "text.txt", "text")
    assert names(tmp_path) == ["text.txt"]


def test_a_file_that_another_program_keeps_open_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PATIENCE", 0.1)
    monkeypatch.setattr(os, "replace", refusing(errno.EACCES, 99, os.replace))
    with pytest.raises(StorageError, match=r"text.txt cannot be written: Permission denied\."):
        write_text(tmp_path / "text.txt", "text")
    assert names(tmp_path) == []


def test_a_lock_is_held_by_one_and_free_again_once_its_file_is_closed(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("ab") as first, (tmp_path / "lock").open("ab") as second:
        assert locked(first)
        assert not locked(second)
        first.close()
        assert locked(second)


@pytest.mark.skipif(sys.platform == "win32", reason="locks of its own")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_drive_without_locks_is_used_without_and_that_is_said_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    monkeypatch.setattr("fcntl.flock", refusing(number, 9, lambda *_: None))
    for name in ("a.lock", "b.lock"):
        with (tmp_path / name).open("ab") as file:
            assert locked(file)
    assert [record.message for record in caplog.records] == [
        f"{tmp_path} lies on a drive without locks ({os.strerror(number)}): a second process is "
        "not kept from working there meanwhile. Run one at a time."
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="locks of its own")
@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EACCES])
def test_a_lock_that_another_process_holds_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr("fcntl.flock", refusing(number, 9, lambda *_: None))
    with (tmp_path / "lock").open("ab") as file:
        assert not locked(file)


def test_json_comes_back_as_it_was_and_is_readable(tmp_path: Path) -> None:
    content = {"classes": ["Käfer", "虎"], "share": 0.1, "none": None}
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == content
    assert "Käfer" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path, number: float) -> None:
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        write_json(tmp_path / "a.json", [number])
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
    assert names(tmp_path) == ["a.json"]


def test_of_a_link_the_file_that_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "old.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "far" / "old.csv")
    write_text(tmp_path / "link.csv", "new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "far" / "old.csv").read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="it is a device or a pipe"):
        write_text(tmp_path / "pipe", "text")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
