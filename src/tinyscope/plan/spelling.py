"""How values are spelled in study files and on the command line, for messages too."""

import json
from typing import Any

NONE = "none"
"""How TOML and the command line spell None, which they have no word for."""


def spelled(value: Any) -> str:
    """A value as a study file spells it, for messages; on one line whatever it holds."""
    if isinstance(value, (str, bool, list, tuple, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
