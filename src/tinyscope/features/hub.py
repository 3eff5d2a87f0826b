"""Weights on the Hugging Face hub: found on this machine, or downloaded whole and checked."""

import os
import re
from pathlib import Path

from tinyscope.data.cache_folder import cache_folder
from tinyscope.data.download import announcement, console_progress, fetch, file_digest
from tinyscope.errors import DataError, InputError, StorageError
from tinyscope.files import path_of, read_json, write_json

FILE = "model.safetensors"
"""The name under which repositories of networks hold their weights."""

_SHA256 = re.compile("[0-9a-f]{64}")
_TRUE = ("1", "on", "yes", "true")


def weights_file(repository: str) -> Path:
    """The weights of a repository: from the hub's own cache, from ours, or downloaded into ours.

    `HF_HUB_CACHE`, `HF_HOME`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` mean what they mean to the hub's
    own tools. A file whose checksum is known is checked each time.

    Args:
        repository: OWNER/NAME.

    Raises:
        InputError: it is not on this machine, and `HF_HUB_OFFLINE` is set; or `HF_ENDPOINT` is no
            address.
        DataError: it is not on this machine and cannot be downloaded.
        StorageError: the file on this machine is damaged, or there is no room for it.
    """
    found = _in_cache_of_hub(repository) or _in_own_cache(repository)
    return found or _downloaded(repository)


def address_of(repository: str) -> str:
    """Where the hub, or its mirror `HF_ENDPOINT`, has the weights of a repository.

    Raises:
        InputError: `HF_ENDPOINT` is no address.
    """
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not re.match("https?://[^/]", endpoint):
        raise InputError(
            f'HF_ENDPOINT is "{endpoint}"; expected an address such as https://huggingface.co.'
        )
    return f"{endpoint.rstrip('/')}/{repository}/resolve/main/{FILE}"


def _in_cache_of_hub(repository: str) -> Path | None:
    """The newest snapshot's file, or another's where that has none."""
    folder = _cache_of_hub() / f"models--{repository.replace('/', '--')}"
    newest = folder / "refs" / "main"
    names = [newest.read_text().strip()] if newest.is_file() else []
    snapshots = [folder / "snapshots" / name for name in names]
    for snapshot in (*snapshots, *sorted(folder.glob("snapshots/*"))):
        path = snapshot / FILE
        if path.is_file():
            # Large files lie under their checksum there, and the snapshot links to them.
            blob = path.resolve()
            if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name):
                _check(path, blob.name)
            return path
    return None


def _cache_of_hub() -> Path:
    if named := os.environ.get("HF_HUB_CACHE"):
        return path_of(named)
    home = os.environ.get("HF_HOME")
    if not home:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return path_of(home) / "hub"


def _own_place(repository: str) -> Path:
    return cache_folder() / "weights" / repository.replace("/", "--") / FILE


def _note_of(path: Path) -> Path:
    """Where the checksum of a file stands that the hub told when it was downloaded."""
    return path.with_name(f"{path.name}.json")


def _in_own_cache(repository: str) -> Path | None:
    path = _own_place(repository)
    if not path.is_file():
        return None
    note = _note_of(path)
    if note.exists():  # there is none of a file that was put there by hand
        _check(path, str(read_json(note).get("sha256")))
    return path


def _check(path: Path, sha256: str) -> None:
    actual = file_digest(path, "sha256")
    if actual != sha256:
        raise StorageError(
            f"{path} is damaged: its sha256 is {actual}; expected {sha256}. Remove it, and it is "
            "downloaded again."
        )


def _downloaded(repository: str) -> Path:
    address = address_of(repository)
    otherwise = 'set backbone_weights = "PATH" to that file'
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
        raise InputError(
            f"The weights of {repository} are not on this machine, and HF_HUB_OFFLINE forbids to "
            f"download them. Fetch {address} on another one, and {otherwise}."
        )
    path = _own_place(repository)
    try:
        sha256 = announcement(address).get("x-linked-etag", "").strip('"')
        if not _SHA256.fullmatch(sha256):
            raise DataError("no checksum (X-Linked-ETag) was told")
    except DataError as error:
        raise DataError(
            f"The weights of {repository} could not be downloaded ({error}). Fetch {address} by "
            f"hand, and {otherwise}."
        ) from None
    write_json(_note_of(path), {"source": address, "sha256": sha256})
    with console_progress(repository) as progress:
        try:
            return fetch([address], path, sha256=sha256, progress=progress)
        except DataError as error:
            raise DataError(f"{str(error).removesuffix('.')}, or {otherwise}.") from None
