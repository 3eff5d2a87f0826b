"""Leaked test images: those with a copy among the images that are learnt from."""

from collections.abc import Iterable, Mapping
from typing import Any

LEAKS = "TS008"
"""The check for copies on both sides of a split."""


def leaked_test_rows(findings: Iterable[Mapping[str, Any]]) -> list[int] | None:
    """Rows of the leaked test images, ascending; None where nobody could look.

    Args:
        findings: of an inspection.
    """
    leaks = next((one for one in findings if one["code"] == LEAKS), None)
    if leaks is None or leaks["status"] == "not applicable":
        return None
    others = (other for item in leaks["items"] for other in item["others"])
    return sorted({other["row"] for other in others if other["split"] == "test"})
