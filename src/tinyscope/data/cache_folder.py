"""Where Tinyscope keeps what it can make or fetch again."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyscope.files import path_of


def cache_folder() -> Path:
    """`TINYSCOPE_CACHE` where that is set, else the platform's cache folder of this user.

    The folder need not exist yet.
    """
    named = os.environ.get("TINYSCOPE_CACHE")
    if named:
        return path_of(named)
    import platformdirs

    return platformdirs.user_cache_path("tinyscope")


def entry(kind: str, *what: Any, versions: Sequence[int]) -> Path:
    """The place of something that is kept: another one for everything that could change it.

    Args:
        kind: of what is kept; the folder in the cache folder.
        what: plain values that JSON can hold, which decide what it is: fingerprints, recipes.
        versions: of the code that makes it, and of all kept results that it rests on in turn: what
            was made of an earlier version of any of them is not found again.

    Returns:
        A path without ending, whose name is a hash. Nothing need be there yet.
    """
    told = json.dumps([what, list(versions)], sort_keys=True)
    return cache_folder() / kind / hashlib.sha256(told.encode()).hexdigest()[:24]
