"""Tests of tinyscope.data.download."""

import errno
import hashlib
import io
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from archive_server import ArchiveServer, archive_server

from tinyscope.data import download
from tinyscope.data.download import announcement, console_progress, fetch
from tinyscope.errors import DataError, StorageError

CONTENT = np.random.default_rng(0).bytes(50_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with archive_server() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)


def left_beside(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir() if file.suffix != ".lock")


def test_a_file_is_fetched_into_a_new_folder_and_nothing_else_stays(server, tmp_path):
    url, _ = server.serve("a.gz", CONTENT)
    told = []

    path = fetch([url], tmp_path / "new" / "a.gz", md5=MD5, progress=lambda *n: told.append(n))

    assert path.read_bytes() == CONTENT
    assert left_beside(path) == ["a.gz"]
    assert told[-1] == (50_000, 50_000)


def test_a_connection_cut_half_way_goes_on_where_it_stopped(server, tmp_path):
    url, served = server.serve("a.gz", CONTENT, cuts=[20_000, 10_000])

    assert fetch([url], tmp_path / "a.gz", md5=MD5).read_bytes() == CONTENT

    assert [request.get("Range") for request in served.asked] == [
        None,
        "bytes=20000-",
        "bytes=30000-",
    ]
    assert served.asked[1]["If-Range"] == '"one"'


def test_a_cut_file_is_completed_by_the_next_source(server, tmp_path):
    first, bad = server.serve("first.gz", CONTENT, cuts=[30_000, 0, 0, 0, 0, 0])
    second, good = server.serve("second.gz", CONTENT, etag='"other"')

    assert fetch([first, second], tmp_path / "a.gz", md5=MD5).read_bytes() == CONTENT

    assert len(bad.asked) == 1 + download.TRIES
    assert good.asked[0]["Range"] == "bytes=30000-"
    assert "If-Range" not in good.asked[0]  # the tag was the first server's


def test_a_server_that_ignores_ranges_is_read_from_the_start(server, tmp_path):
    url, served = server.serve("a.gz", CONTENT, cuts=[20_000], ranges=False)

    assert fetch([url], tmp_path / "a.gz", md5=MD5).read_bytes() == CONTENT
    assert len(served.asked) == 2


def test_a_server_that_ignores_ranges_and_always_cuts_is_given_up(server, tmp_path):
    url, served = server.serve("a.gz", CONTENT, cuts=[20_000] * 50, ranges=False)

    with pytest.raises(DataError, match="cut off after 20,000 of 50,000 bytes, 4 times"):
        fetch([url], tmp_path / "a.gz", md5=MD5)
    assert len(served.asked) == 1 + download.TRIES


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    url, served = server.serve("a.gz", CONTENT)
    (tmp_path / "a.gz.part").write_bytes(b"x" * 60_000)

    assert fetch([url], tmp_path / "a.gz", md5=MD5).read_bytes() == CONTENT
    assert ["Range" in request for request in served.asked] == [True, False]


def test_a_part_of_a_file_that_changed_since_is_not_continued(server, tmp_path):
    url, served = server.serve("a.gz", CONTENT)
    (tmp_path / "a.gz.part").write_bytes(b"x" * 100)
    (tmp_path / "a.gz.part.version").write_text(f'{url}\n"older"')

    assert fetch([url], tmp_path / "a.gz", md5=MD5).read_bytes() == CONTENT
    assert served.asked[0]["If-Range"] == '"older"'
    assert len(served.asked) == 1


def test_a_foreign_part_that_was_continued_is_found_out_and_fetched_anew(server, tmp_path):
    url, served = server.serve("a.gz", CONTENT, etag="")
    (tmp_path / "a.gz.part").write_bytes(b"x" * 100)

    assert fetch([url], tmp_path / "a.gz", md5=MD5).read_bytes() == CONTENT
    assert ["Range" in request for request in served.asked] == [True, False]


def test_a_part_that_is_whole_is_used_without_asking_anyone(tmp_path):
    (tmp_path / "a.gz.part").write_bytes(CONTENT)

    fetch(["http://127.0.0.1:9/a.gz"], tmp_path / "a.gz", md5=MD5)

    assert left_beside(tmp_path / "a.gz") == ["a.gz"]


def test_a_wrong_file_is_thrown_away_and_the_next_source_asked(server, tmp_path):
    wrong, asked = server.serve("wrong.gz", b"<html>sign in</html>")
    right, served = server.serve("right.gz", CONTENT)

    assert fetch([wrong, right], tmp_path / "a.gz", md5=MD5).read_bytes() == CONTENT
    assert len(asked.asked) == 1
    assert "Range" not in served.asked[0]


def test_total_failure_says_what_each_source_said_and_what_to_do_by_hand(server, tmp_path):
    wrong, _ = server.serve("wrong.gz", b"<html>sign in</html>")
    missing = f"{server.address}missing.gz"
    broken, asked = server.serve("broken.gz", CONTENT, status=503)
    path = tmp_path / "a.gz"
    host = server.address.removeprefix("http://").rstrip("/")

    with pytest.raises(DataError) as caught:
        fetch([missing, wrong, broken, "http://127.0.0.1:9/a.gz"], path, md5=MD5)

    assert str(caught.value) == (
        f"a.gz could not be downloaded ({host}: 404 Not Found; {host}: another file (its md5 "
        f"differs); {host}: 503 Service Unavailable, 4 times; 127.0.0.1:9: connection refused, 4 "
        f"times). Fetch {missing} by hand (md5 {MD5}) and put it at {path}."
    )
    assert left_beside(path) == []
    assert len(asked.asked) == download.TRIES


def test_a_server_without_a_valid_certificate_is_not_asked_twice(monkeypatch, tmp_path):
    import ssl
    import urllib.error

    error = ssl.SSLCertVerificationError(1, "failed")
    error.verify_message = "self-signed certificate"
    asked = []

    def refuse(request: object, **_: object) -> None:
        asked.append(request)
        raise urllib.error.URLError(error)

    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)

    with pytest.raises(DataError, match=r"its certificate is not valid \(self-signed certificate"):
        fetch(["https://example.org/a.gz"], tmp_path / "a.gz", md5=MD5)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("system", "remedy"),
    [
        (
            "darwin",
            'run "Install Certificates.command" in the folder of Python in Applications, or set '
            "SSL_CERT_FILE to a file of them",
        ),
        ("linux", "set SSL_CERT_FILE to a file of them"),
    ],
)
def test_where_python_knows_no_authorities_the_remedy_is_named(
    monkeypatch, tmp_path, system, remedy
):
    import ssl
    import urllib.error

    error = ssl.SSLCertVerificationError(1, "failed")
    error.verify_code = 20
    error.verify_message = "unable to get local issuer certificate"

    def refuse(request: object, **_: object) -> None:
        raise urllib.error.URLError(error)

    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)
    monkeypatch.setattr(download.sys, "platform", system)
    with pytest.raises(DataError) as told:
        fetch(["https://example.org/a.gz"], tmp_path / "a.gz", md5=MD5)
    assert str(told.value).startswith(
        "a.gz could not be downloaded (example.org: its certificate is not valid (unable to get "
        "local issuer certificate); where Python lacks the certificates of authorities, "
        f"{remedy}). Fetch https://example.org/a.gz by hand "
    )


def test_a_silent_server_is_given_up_after_the_time_out(monkeypatch, tmp_path):
    import socket

    monkeypatch.setattr(download, "TIME_OUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.gz"
        with pytest.raises(DataError, match="no answer in 0 s, 4 times"):
            fetch([url], tmp_path / "a.gz", md5=MD5)


def test_a_disk_without_room_is_told_before_a_byte_is_written(server, tmp_path, monkeypatch):
    url, _ = server.serve("a.gz", CONTENT)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 20_000))
    path = tmp_path / "a.gz"

    with pytest.raises(StorageError) as caught:
        fetch([url], path, md5=MD5)

    assert str(caught.value) == (
        f"{path} cannot be written: the disk is full (it needs 0.1 MB, 0.0 MB are free). Make "
        "room, or set TINYSCOPE_CACHE to a folder on another disk."
    )
    assert left_beside(path) == []


def test_a_disk_that_fills_up_during_the_download_is_one_line(server, tmp_path, monkeypatch):
    url, served = server.serve("a.gz", CONTENT)
    path = tmp_path / "a.gz"
    really_open = Path.open

    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def fake_open(self: Path, mode: str = "r", *rest: object, **more: object) -> object:
        return Full() if mode == "wb" else really_open(self, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", fake_open)
    with pytest.raises(StorageError, match=r"the disk is full \(it needs 0\.1 MB, .* MB are free"):
        fetch([url], path, md5=MD5)
    assert len(served.asked) == 1


def _interrupt_at(done: int, limit: int) -> None:
    if done >= limit:
        raise KeyboardInterrupt


def test_ctrl_c_leaves_the_part_for_the_next_try(server, tmp_path, monkeypatch):
    url, served = server.serve("a.gz", CONTENT)
    monkeypatch.setattr(download, "_CHUNK", 1000)
    path = tmp_path / "a.gz"
    with pytest.raises(KeyboardInterrupt):
        fetch([url], path, md5=MD5, progress=lambda done, _: _interrupt_at(done, 10_000))
    size = (tmp_path / "a.gz.part").stat().st_size

    fetch([url], path, md5=MD5)

    assert served.asked[1]["Range"] == f"bytes={size}-"
    assert path.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "a.gz"

    with pytest.raises(StorageError) as caught:
        fetch(["http://127.0.0.1:9/a.gz"], path, md5=MD5)

    assert str(caught.value) == (
        f"{path} cannot be written: File exists. Set TINYSCOPE_CACHE to a folder that can be."
    )


def test_two_processes_download_a_file_once(server, tmp_path):
    url, served = server.serve("a.gz", CONTENT)
    script = (
        "import sys; from pathlib import Path; from tinyscope.data.download import fetch\n"
        "fetch([sys.argv[1]], Path(sys.argv[2]), md5=sys.argv[3])"
    )
    command = [sys.executable, "-c", script, url, str(tmp_path / "a.gz"), MD5]

    both = [subprocess.Popen(command) for _ in range(2)]

    assert [process.wait(timeout=20) for process in both] == [0, 0]
    assert (tmp_path / "a.gz").read_bytes() == CONTENT
    assert len(served.asked) == 1


def test_a_file_may_be_known_by_its_sha256(server, tmp_path):
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    right, _ = server.serve("right", CONTENT, cuts=[20_000])
    wrong, _ = server.serve("wrong", b"other")
    host = server.address.removeprefix("http://").rstrip("/")

    assert fetch([right], tmp_path / "a", sha256=sha256).read_bytes() == CONTENT

    with pytest.raises(DataError) as caught:
        fetch([wrong], tmp_path / "b", sha256=sha256)
    assert str(caught.value) == (
        f"b could not be downloaded ({host}: another file (its sha256 differs)). Fetch {wrong} by "
        f"hand (sha256 {sha256}) and put it at {tmp_path / 'b'}."
    )


def test_an_announcement_is_the_headers_of_the_answer_without_the_file(server):
    url, served = server.serve("a", CONTENT, headers={"X-Linked-ETag": "abc"})

    headers = announcement(url)

    assert headers["x-linked-etag"] == "abc"
    assert headers["content-length"] == "50000"
    assert [request["method"] for request in served.asked] == ["HEAD"]


def test_an_announcement_follows_a_redirect_within_its_host_and_to_no_other(server):
    url, _ = server.serve("old", b"", moved_to="/new")
    _, new = server.serve(
        "new", b"", moved_to="http://127.0.0.1:9/elsewhere", headers={"X-Linked-ETag": "abc"}
    )

    assert announcement(url)["x-linked-etag"] == "abc"
    assert [request["method"] for request in new.asked] == ["HEAD"]


def test_an_announcement_that_does_not_come_is_asked_for_again_where_that_may_help(server):
    busy, asked = server.serve("busy", CONTENT, status=503)
    forbidden, asked_once = server.serve("forbidden", CONTENT, status=403)
    host = server.address.removeprefix("http://").rstrip("/")

    for url, said in (
        (busy, f"{host}: 503 Service Unavailable, 4 times"),
        (forbidden, f"{host}: 403 Forbidden"),
        ("http://127.0.0.1:9/a", "127.0.0.1:9: connection refused, 4 times"),
    ):
        with pytest.raises(DataError) as caught:
            announcement(url)
        assert str(caught.value) == said
    assert (len(asked.asked), len(asked_once.asked)) == (4, 1)


def test_a_pipe_gets_no_progress_bar(capfd):
    with console_progress("a.gz") as progress:
        assert progress is None
    assert capfd.readouterr() == ("", "")


def test_a_terminal_gets_a_progress_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with console_progress("a.gz") as progress:
        assert progress is not None
        progress(500_000, 1_000_000)
    assert "a.gz" in sys.stderr.getvalue()
    assert "0.5/1.0 MB" in sys.stderr.getvalue()
