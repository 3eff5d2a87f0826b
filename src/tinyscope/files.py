"""Files that are written whole or not at all."""

import errno
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from tinyscope.errors import StorageError

_PATIENCE = 2.0 if sys.platform == "win32" else 0.0
"""Seconds that a file may be held open by others. On Windows it cannot be replaced meanwhile: a
virus scanner looks at it, or a spreadsheet shows it."""

_log = logging.getLogger(__name__)


def path_of(given: str | Path) -> Path:
    """The path that is meant: a leading ~ is the home folder, which shells and users take it for.

    Of a user that does not exist, it stays as it is.
    """
    return Path(os.path.expanduser(given))


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to that takes the place of `path` once it is complete and on the disk.

    Whatever ends the writing early (a full disk, Ctrl-C, the power), `path` is as it was before. Of
    a link, the file that it leads to is replaced.

    Raises:
        StorageError: it cannot be written; the disk is full, say, or there is something else than a
            file: a folder, a device.
    """
    temporary: Path | None = None
    place = Path(os.path.realpath(path))
    if os.path.exists(place) and not os.path.isfile(place):
        kind = "a folder" if os.path.isdir(place) else "a device or a pipe"
        raise StorageError(f"{path} cannot be written: it is {kind}; expected the name of a file.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=place.parent, prefix=f".{place.name}.", suffix=".part", delete=False
        ) as file:
            temporary = Path(file.name)
            yield file
            flush_to_disk(file)
        with suppress(OSError):  # drives of Windows machines have no such permissions to give
            os.chmod(temporary, 0o666 & ~_umask())
        put_in_place(temporary, place)
        temporary = None
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}. What it held before is kept."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def flush_to_disk(file: IO[bytes]) -> None:
    """Waits until what was written survives a power cut, as far as the drive can promise that.

    Raises:
        OSError: the disk is full or broken.
    """
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network drives know no fsync
            raise


def put_in_place(made: Path, place: Path) -> None:
    """Renames a file or folder to `place`; what another program holds open is waited for shortly.

    Raises:
        OSError: it cannot be renamed.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return os.replace(made, place)
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text.

    Raises:
        StorageError: it cannot be written.
    """
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: Path, content: Any) -> None:
    """Writes plain JSON values, indented, with no NaN or infinity.

    Raises:
        StorageError: it cannot be written.
        ValueError: a number is not finite.
    """
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The table of plain JSON values in a file.

    Raises:
        StorageError: there is no such file, or it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}.") from None
    if not isinstance(content, dict):
        raise StorageError(f"{path} is damaged: it holds no table of values.")
    return content


def _umask() -> int:
    """The process's umask; the only portable way to read it is to set it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


if sys.platform == "win32":
    import msvcrt

    _TAKEN = (errno.EACCES, errno.EDEADLOCK)

    def _lock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    _TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def locked(file: IO[bytes]) -> bool:
    """Locks an open file unless another process has; closing it, or dying, lets go.

    Where the drive has no locks it is taken for locked, with a line in the log: some network drives
    have none, and are used by one process at a time for the most part.
    """
    try:
        _lock(file)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        _tell_of_no_locks(os.path.dirname(file.name), error.strerror or str(error))
    return True


@cache
def _tell_of_no_locks(folder: str, why: str) -> None:
    """Once for a folder."""
    _log.warning(
        "%s lies on a drive without locks (%s): a second process is not kept from working there "
        "meanwhile. Run one at a time.",
        folder,
        why,
    )
