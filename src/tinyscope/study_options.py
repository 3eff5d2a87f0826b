"""What the options of `tinyscope run` stand for: a study, and the seconds that it may take."""

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tinyscope.errors import InputError
from tinyscope.models.recipe_faults import JUDGES
from tinyscope.plan.study import Study
from tinyscope.plan.study_files import load_study


def study_of(
    name: str,
    *,
    data: str | None,
    seeds: str | None,
    only: Sequence[str],
    settings: Sequence[str],
) -> Study:
    """The study that is asked for.

    Args:
        name: of a built-in study, or the path of a `.toml` file.
        data: instead of the study's own.
        seeds: "3" or "0,5,7", instead of the study's own.
        only: the variations to run; empty for those that the study asks for.
        settings: KEY=VALUE, for all variations or of the study.

    Raises:
        InputError: there is no such study, or an option does not fit it.
    """
    study = load_study(name, judges=JUDGES)
    if seeds is not None:
        study = replace(study, seeds=_seeds(seeds))
    if data is not None:
        study = study.on(data)
    changes = dict(_setting(text) for text in settings)
    study = study.with_overrides(changes)
    wrong = [JUDGES[key](value) for key, value in changes.items() if key in JUDGES]
    if any(wrong):
        raise InputError(" ".join(filter(None, wrong)))
    if only:
        study = replace(study, only=tuple(only))
    study.recipes()  # contradictions are told before anything is loaded
    return study


def seconds_of(text: str) -> float:
    """What "90s", "10m" or "2h" are in seconds.

    Raises:
        InputError: the text is no such time, or none above 0.
    """
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "")
    try:
        seconds = float(number) * units[unit]
    except (KeyError, ValueError):
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise InputError(f'--budget "{text}" is not a time such as 90s, 10m or 2h.')
    return seconds


def _seeds(text: str) -> Any:
    """A count, or a list; the study judges which numbers are allowed."""
    try:
        numbers = tuple(int(part) for part in text.removesuffix(",").split(","))
    except ValueError:
        raise InputError(f'--seeds "{text}" is neither a count (3) nor a list (0,5,7).') from None
    return numbers if "," in text else numbers[0]


def _setting(text: str) -> tuple[str, Any]:
    """A key and its value, which is read as TOML and, failing that, as text."""
    key, equals, value = text.partition("=")
    if key.strip() == "seeds":
        raise InputError("--set does not reach seeds: --seeds does.")
    if key.strip() == "data":  # which demo, on the images that come along, has no option for
        raise InputError('--set does not reach data: "tinyscope run STUDY --data D" does.')
    if not equals or not key.strip():
        raise InputError(f'--set "{text}" is not KEY=VALUE, such as --set epochs=5.')
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        return key.strip(), float(value)  # ".1", which is no TOML
    except ValueError:
        return key.strip(), value.strip()
