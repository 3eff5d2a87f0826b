"""Spellings of class names: which ones a reader, or a disk, takes for the same."""

import unicodedata


def composed(name: str) -> str:
    """The name with its accents joined to their letters (NFC): some disks and archives part them.

    "café" may be stored as four letters, or as five of which the last is an accent.
    """
    return unicodedata.normalize("NFC", name)


def seen(name: str) -> str:
    """The name as far as it can be seen: `composed`, without zero-width signs and outer spaces."""
    visible = (each for each in composed(name) if unicodedata.category(each) != "Cf")
    return " ".join(composed("".join(visible)).split())
