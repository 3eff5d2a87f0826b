"""Where Tinyscope keeps what it can make or fetch again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`TINYSCOPE_CACHE` where that is set, else the platform's cache folder of this user.

    The folder need not exist yet.
    """
    named = os.environ.get("TINYSCOPE_CACHE")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("tinyscope")
