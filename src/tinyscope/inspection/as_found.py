"""What the image files of a data set are like before they are decoded, as tables."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinyscope.data.file_facts import FileFacts
from tinyscope.files import path_of

_SIZES = 8


def as_found(facts: Mapping[str, FileFacts]) -> dict[str, Any] | None:
    """Formats, modes and sizes of all files whose header can be read, most frequent first.

    Args:
        facts: by split.

    Returns:
        None where there are no such files.
    """
    readable = [(one, one.readable) for one in facts.values() if one.readable.any()]
    if not readable:
        return None
    width = np.concatenate([one.width[which] for one, which in readable])
    height = np.concatenate([one.height[which] for one, which in readable])
    sizes = Counter(zip(width.tolist(), height.tolist(), strict=True))
    listed: list[dict[str, Any]] = [
        {"size": f"{wide}x{high}", "files": files}
        for (wide, high), files in sizes.most_common(_SIZES)
    ]
    if len(sizes) > _SIZES:
        rest = len(width) - sum(row["files"] for row in listed)
        listed.append({"size": "others", "files": rest})
    area = width * height
    smallest, largest = int(area.argmin()), int(area.argmax())
    return {
        "formats": _counted([one.format[which] for one, which in readable]),
        "modes": _counted([one.mode[which] for one, which in readable]),
        "sizes": listed,
        "different_sizes": len(sizes),
        "smallest": f"{width[smallest]}x{height[smallest]}",
        "largest": f"{width[largest]}x{height[largest]}",
        "median_bytes": int(np.median(np.concatenate([one.size_bytes for one, _ in readable]))),
    }


def disk_bytes(origin: str | Path | None, facts: Mapping[str, FileFacts]) -> int | None:
    """Bytes of all image files, or of the file that holds the arrays; None where neither is."""
    if facts:
        return int(sum(one.size_bytes.sum() for one in facts.values()))
    path = path_of(origin) if origin is not None else None
    return path.stat().st_size if path is not None and path.is_file() else None


def _counted(pieces: list[np.ndarray]) -> list[dict[str, Any]]:
    counts = Counter(np.concatenate(pieces).tolist())
    return [{"name": name, "files": files} for name, files in counts.most_common()]
