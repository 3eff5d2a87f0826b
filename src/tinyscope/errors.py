"""What a user did wrong, in one line each, and the exit status that goes with it.

TinyscopeError
├── InputError      the command, a name, a study file: exit status 2
├── DataError       images or labels that cannot be used: exit status 3
└── StorageError    a disk or a stored folder that cannot be used: exit status 2

Anything else that is raised is a bug: traceback, exit status 1.
"""

import difflib
from collections.abc import Iterable


class TinyscopeError(Exception):
    """A fault that its reader can mend; `str()` is one line that says how."""

    exit_status = 2

    def __str__(self) -> str:
        # Names that users give and messages of other packages may hold line breaks.
        return " ".join(super().__str__().splitlines())


class InputError(TinyscopeError):
    """The command, a name or a study file asks for something that does not exist."""


class DataError(TinyscopeError):
    """Images or labels that no run can use."""

    exit_status = 3


class StorageError(TinyscopeError):
    """A file that cannot be written, or a stored folder that cannot be read."""


def nearest(given: str, valid: Iterable[str]) -> str | None:
    """The valid name most like `given`, or None where none is alike."""
    names = list(valid)
    by_folded_name = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(given.casefold(), by_folded_name, n=1, cutoff=0.5)
    return by_folded_name[close[0]] if close else None


def unknown(kind: str, given: str, valid: Iterable[str], *, see: str) -> str:
    """The line for a name that is not known: what was given, the nearest name, what lists all.

    Args:
        kind: what the name stands for, in the singular ("recipe").
        given: the name as the user wrote it.
        valid: every name that would have worked.
        see: the command that lists them ("tinyscope list recipes").
    """
    names = sorted(valid)
    guess = nearest(given, names)
    hint = f'Did you mean "{guess}"?' if guess else f"Expected one of {len(names)} names."
    return f'Unknown {kind} "{given}". {hint} Run "{see}" to see all {len(names)}.'
