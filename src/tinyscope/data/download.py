"""Files fetched over HTTP: resumable, checked, from several sources in turn."""

import errno
import hashlib
import http.client
import os
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import urlsplit

from tinyscope.errors import DataError, StorageError
from tinyscope.files import locked, put_in_place

Progress = Callable[[int, int | None], None]
"""Told the bytes that are there and the bytes of the whole file, None where that is unknown."""

TIME_OUT = 30.0  # seconds without a byte
TRIES = 4  # in a row that bring nothing new, before a source is given up
PAUSE = 0.5  # seconds after the first of them, doubled after each
_CHUNK = 1 << 18
_HEADERS = {"User-Agent": "tinyscope", "Accept-Encoding": "identity"}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_ISSUER = 20  # OpenSSL: unable to get local issuer certificate


class Checksum(NamedTuple):
    """What tells a whole file from any other."""

    algorithm: str
    """"md5" or "sha256"."""
    digest: str
    """In hexadecimal."""

    def fits(self, path: Path) -> bool:
        """Whether there is a file at `path` and it has this checksum.

        Raises:
            StorageError: it cannot be read.
        """
        return path.exists() and file_digest(path, self.algorithm) == self.digest


def fetch(
    sources: Sequence[str],
    destination: Path,
    *,
    md5: str = "",
    sha256: str = "",
    progress: Progress | None = None,
) -> Path:
    """The file of a known checksum, downloaded from the first source that has it.

    What arrives is kept in `<destination>.part` until it is whole, so that a cut connection, the
    next source or the next call goes on where the last one stopped. A second process that wants
    the same file waits for the first.

    Args:
        sources: addresses of copies of the file, tried in this order.
        destination: where it is to be; its folder is made.
        md5: of the whole file, in hexadecimal.
        sha256: likewise; exactly one of the two is given.
        progress: is told how far it is.

    Returns:
        `destination`.

    Raises:
        DataError: no source has the file; the message says how to get it by hand.
        StorageError: it cannot be stored; the disk is full, say.
    """
    wanted = Checksum("sha256", sha256) if sha256 else Checksum("md5", md5)
    part = destination.with_name(f"{destination.name}.part")
    with _storing(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
    with _alone(destination):
        if wanted.fits(destination):  # by another process, while this one waited
            return destination
        if wanted.fits(part):
            return _finished(part, destination)
        said = []
        for source in sources:
            fault = _fetch_from(source, part, destination, wanted, progress)
            if fault is None:
                return _finished(part, destination)
            said.append(f"{urlsplit(source).netloc}: {fault}")
    raise DataError(
        f"{destination.name} could not be downloaded ({'; '.join(said)}). Fetch {sources[0]} by "
        f"hand ({wanted.algorithm} {wanted.digest}) and put it at {destination}."
    )


def announcement(source: str) -> dict[str, str]:
    """The headers of a source's answer, by lower-case name, without the file.

    A redirect within its host is followed, for a file that has moved; one to another host is not,
    because what a source says of a file stands in its own answer.

    Raises:
        DataError: there is no answer, or none that has a file; the message says which.
    """
    opener = urllib.request.build_opener(_OnlyWithinHost)
    request = urllib.request.Request(source, headers=_HEADERS, method="HEAD")
    for vain in range(1, TRIES + 1):
        try:
            with opener.open(request, timeout=TIME_OUT) as response:
                return _by_name(response.headers)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) and 300 <= error.code < 400:
                error.close()
                return _by_name(error.headers)
            failure = _failure(error)
        if failure.final:
            raise DataError(f"{urlsplit(source).netloc}: {failure}")
        if vain < TRIES:
            time.sleep(PAUSE * 2 ** (vain - 1))
    raise DataError(f"{urlsplit(source).netloc}: {failure}, {TRIES} times")


def _by_name(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class _OnlyWithinHost(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # type: ignore[no-untyped-def]
        self, request, answer, code, message, headers, address
    ) -> urllib.request.Request | None:
        if urlsplit(address).netloc != urlsplit(request.full_url).netloc:
            return None
        return urllib.request.Request(address, headers=request.headers, method="HEAD")


@contextmanager
def console_progress(name: str) -> Iterator[Progress | None]:
    """A progress bar on standard error, or None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class _Failed(Exception):
    """A try that brought no whole file.

    Attributes:
        final: whether this source need not be asked again.
        restart: whether the bytes so far are of no use with it.
    """

    def __init__(self, reason: str, *, final: bool = False, restart: bool = False) -> None:
        super().__init__(reason)
        self.final = final
        self.restart = restart


def _fetch_from(
    source: str, part: Path, destination: Path, wanted: Checksum, progress: Progress | None
) -> str | None:
    """None once `part` is the file, or else why this source has failed."""
    furthest, vain = _size(part), 0
    while True:
        start = _size(part)
        try:
            _receive(source, part, start, destination, progress)
            if wanted.fits(part):
                return None
            # Bytes of two files may have been joined: only a file in one piece proves a wrong one.
            raise _Failed(
                f"another file (its {wanted.algorithm} differs)", final=start == 0, restart=True
            )
        except _Failed as failure:
            if failure.restart:
                part.unlink(missing_ok=True)
                _version_file(part).unlink(missing_ok=True)
            vain = 0 if _size(part) > furthest else vain + 1
            furthest = max(furthest, _size(part))
            if failure.final:
                return str(failure)
            if vain >= TRIES:
                return f"{failure}, {vain} times"
        if vain:
            time.sleep(PAUSE * 2 ** (vain - 1))


def _receive(
    source: str, part: Path, start: int, destination: Path, progress: Progress | None
) -> None:
    """Appends to `part` what it lacks, or writes it anew where the server does not continue."""
    headers = dict(_HEADERS)
    version = _version_file(part)
    if start:
        headers["Range"] = f"bytes={start}-"
        asked, _, known = (version.read_text() if version.exists() else "").partition("\n")
        if asked == source and known:  # a version means nothing to another server
            headers["If-Range"] = known
    try:
        # The default context verifies certificates and host names.
        with urllib.request.urlopen(
            urllib.request.Request(source, headers=headers), timeout=TIME_OUT
        ) as response:
            length = response.headers.get("Content-Length")
            continues = response.status == http.HTTPStatus.PARTIAL_CONTENT
            if continues and not _starts_at(response.headers.get("Content-Range"), start):
                raise _Failed("not the bytes that were asked for", restart=True)
            start = start if continues else 0
            whole = start + int(length) if length and length.isdigit() else None
            with _storing(destination, whole):
                _check_space(destination, whole, start)
                version.write_text(f"{source}\n{_version(response.headers)}")
                file = part.open("ab" if continues else "wb")
            with file:
                _copy(response, file, destination, start, whole, progress)
    except (OSError, http.client.HTTPException) as error:
        raise _failure(error) from None


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    destination: Path,
    done: int,
    whole: int | None,
    progress: Progress | None,
) -> None:
    while chunk := response.read1(_CHUNK):
        with _storing(destination, whole):
            file.write(chunk)
            file.flush()
        done += len(chunk)
        if progress:
            progress(done, whole)
    if whole is not None and done < whole:
        raise _Failed(f"cut off after {done:,} of {whole:,} bytes")


def _failure(error: Exception) -> _Failed:
    if isinstance(error, urllib.error.HTTPError):
        refused = error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        passing = error.code >= 500 or error.code in (408, 429)
        return _Failed(
            f"{error.code} {error.reason}", final=not (passing or refused), restart=refused
        )
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        fault = f"its certificate is not valid ({reason.verify_message})"
        if getattr(reason, "verify_code", 0) == _NO_ISSUER:
            fault += f"; where Python lacks the certificates of authorities, {_authorities()}"
        return _Failed(fault, final=True)
    if isinstance(reason, TimeoutError):
        return _Failed(f"no answer in {TIME_OUT:.0f} s")
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return _Failed(" ".join(text.split()).lower())


def _authorities() -> str:
    """How to give them to Python; the one of python.org comes without on a Mac."""
    remedy = "set SSL_CERT_FILE to a file of them"
    if sys.platform == "darwin":
        folder = "in the folder of Python in Applications"
        remedy = f'run "Install Certificates.command" {folder}, or {remedy}'
    return remedy


def _starts_at(content_range: str | None, start: int) -> bool:
    return (content_range or "").replace(" ", "").startswith(f"bytes{start}-")


def _version(headers: http.client.HTTPMessage) -> str:
    """What `If-Range` may name; a weak ETag does not promise the same bytes."""
    tag = headers.get("ETag", "")
    return headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag


def _check_space(destination: Path, whole: int | None, there: int) -> None:
    missing = (whole or 0) - there
    if missing > shutil.disk_usage(destination.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _storing(destination: Path, whole: int | None = None) -> Iterator[None]:
    """Tells what the disk refuses from what the network does."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise StorageError(
                f"{destination} cannot be written: {error.strerror or error}. Set TINYSCOPE_CACHE "
                "to a folder that can be."
            ) from error
        needs = f"it needs {whole / 1e6:,.1f} MB" if whole else "its size is unknown"
        free = shutil.disk_usage(destination.parent).free / 1e6
        raise StorageError(
            f"{destination} cannot be written: the disk is full ({needs}, {free:,.1f} MB are "
            "free). Make room, or set TINYSCOPE_CACHE to a folder on another disk."
        ) from error


def _finished(part: Path, destination: Path) -> Path:
    with _storing(destination):
        put_in_place(part, destination)
        _version_file(part).unlink(missing_ok=True)
    return destination


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def file_digest(path: Path, algorithm: str) -> str:
    """The md5 or sha256 of a file, in hexadecimal; md5 tells a damaged file, not an attacker's.

    Raises:
        StorageError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(
                file, lambda: hashlib.new(algorithm, usedforsecurity=False)
            ).hexdigest()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from error


@contextmanager
def _alone(destination: Path) -> Iterator[None]:
    """Waits until no other process downloads the same file; a process that dies lets go."""
    with _storing(destination):
        file = destination.with_name(f"{destination.name}.lock").open("ab")
    with file:
        while not locked(file):
            time.sleep(0.1)
        yield  # closing the file unlocks it
