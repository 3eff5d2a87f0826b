"""Study files: a built-in name or a path to a Study, every fault of a file named at once."""

import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from tinyscope.errors import InputError, nearest, unknown
from tinyscope.files import path_of
from tinyscope.plan.published_figures import with_tables
from tinyscope.plan.study import Study
from tinyscope.plan.study_faults import (
    Fault,
    Judges,
    Place,
    grid_points,
    study_faults,
    variation_names,
)


def built_in() -> dict[str, str]:
    """The text of every built-in study file, by the study's name."""
    folder = resources.files("tinyscope.plan") / "studies"
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    texts = {entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8") for entry in files}
    return dict(sorted(texts.items()))


def load_study(name_or_path: str | Path, *, judges: Judges | None = None) -> Study:
    """The built-in study of that name, or the one in that `.toml` file.

    Args:
        name_or_path: "quickstart", or "my-study.toml".
        judges: of models and layers; without, these are not judged.

    Raises:
        InputError: there is no such study, or its file has faults; all are named with their lines.
    """
    given = str(name_or_path)
    texts = built_in()
    if given in texts:
        return parse(texts[given], name=given, file=f"{given}.toml", judges=judges)
    path = path_of(given)
    if path.suffix != ".toml":
        known = unknown("study", given, texts, see="tinyscope list studies")
        named = path.suffix or os.path.exists(path)
        raise InputError(f"{known} A study file's name ends in .toml." if named else known)
    if not os.path.isfile(path):
        raise InputError(_no_file(path))
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{given} cannot be read as UTF-8 text: {error}.") from None
    return parse(text, name=path.stem, file=given, judges=judges)


def _no_file(path: Path) -> str:
    if os.path.isdir(path):
        return f"{path} is a folder; expected a study file."
    beside = [each.name for each in path.parent.glob("*.toml")]
    guess = nearest(path.name, beside)
    hint = f"Did you mean {path.with_name(guess)}? " if guess else ""
    if path.stem in built_in():
        hint = f'Did you mean "{path.stem}", which comes along? '
    see = 'Run "tinyscope list studies" to see those that come along.'
    return f"There is no study file {path}. {hint}{see}"


def parse(
    text: str,
    *,
    name: str,
    file: str,
    judges: Judges | None = None,
) -> Study:
    """The study that a TOML text spells.

    Args:
        text: the file's content.
        name: of the study.
        file: how messages call the file.
        judges: as for `load_study`.

    Raises:
        InputError: the text is not TOML, or has faults; all are named with their lines. Keys of a
            variation that do not fit one another are told once its own values are sound, whatever
            is wrong elsewhere.
    """
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # What is no number, list or true is a text to most who write it.
        hint = ' Texts stand in quotes: "cosine".' if "Invalid value" in str(error) else ""
        raise InputError(f"{file} is not TOML: {error}.{hint}") from None
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
        raise InputError(f"{file} is no study file: {error}.") from None
    found = study_faults(values, judges)
    sound = _sound_part(values, found)
    found += _table_faults(values, found)
    found += [] if sound is None else Study(name=name, **sound).contradictions()
    if found:
        lines = _line_numbers(text)
        told = sorted((_line(lines, place), text) for place, text in found)
        raise InputError(" ".join(f"{file}:{line}: {text}" for line, text in told))
    return Study(name=name, **values)


def _sound_part(values: Mapping[str, Any], found: Collection[Fault]) -> dict[str, Any] | None:
    """What of a study can be searched for contradictions, given what is wrong with the rest.

    Returns:
        The keys of a study with those variations whose recipes no fault could change; None where
        there are none.
    """
    wrong = {place[0] for place, _ in found if place[0] != "variations" or len(place) == 1}
    if "overrides" in wrong:  # they are part of every recipe
        return None
    below = [place[1:] for place, _ in found if place[0] == "variations" and place[1:]]
    spoilt = {name for name, *key in below if key != ["start_from"]}
    astray = {name for name, *key in below if key == ["start_from"]}
    known = "recipe" not in wrong
    bodies = {} if "variations" in wrong else values.get("variations", {})
    bodies = {
        name: body
        for name, body in bodies.items()
        if name not in spoilt and (known or "recipe" in body)
    }
    base = known and values.get("base") is not False
    grid = values.get("grid", {}) if known and "grid" not in wrong else {}
    names = {*["base"] * base, *bodies, *grid_points(grid)}
    variations = {
        name: {
            key: value
            for key, value in body.items()
            if key != "start_from" or (value in names and name not in astray)
        }
        for name, body in bodies.items()
    }
    others = ("recipe", "validation", "overrides")
    kept = {key: values[key] for key in others if key in values and key not in wrong}
    return {**kept, "base": base, "variations": variations, "grid": grid} if names else None


def _table_faults(values: Mapping[str, Any], found: Collection[Fault]) -> list[Fault]:
    """What is wrong with published tables, which else would be told after all the training."""
    names = variation_names(values, found)
    if names is None or {place[0] for place, _ in found} & {"published", "published_tables"}:
        return []
    try:
        with_tables(
            values.get("published", {}), values.get("published_tables", ""), variations=names
        )
    except InputError as error:
        return [(("published_tables",), str(error))]
    return []


def _line_numbers(text: str) -> dict[Place, int]:
    """The line on which each table and key of a sound TOML text begins.

    tomllib tells no places. But a piece of the text that begins with a statement is TOML by itself
    only once the statement is complete, so that each is found by adding lines until it can be read.
    """
    numbers: dict[Place, int] = {}
    table: Place = ()
    start, piece = 1, ""
    for number, line in enumerate(text.split("\n"), start=1):
        piece += f"{line}\n"
        try:
            content = tomllib.loads(piece)
        except tomllib.TOMLDecodeError:
            continue
        places = list(_places(content))
        above = table
        if piece.lstrip().startswith("["):
            above, table = (), places[-1]
        for place in places:
            numbers.setdefault((*above, *place), start)
        start, piece = number + 1, ""
    return numbers


def _places(content: Any) -> Iterator[Place]:
    """The path of every key below a table, outer ones first."""
    if isinstance(content, list):  # of tables: [[name]]
        content = content[0] if content else None
    if isinstance(content, dict):
        for key, value in content.items():
            yield (key,)
            yield from ((key, *inner) for inner in _places(value))


def _line(numbers: Mapping[Place, int], place: Place) -> int:
    """The line of `place`, or of the nearest table around it."""
    while place and place not in numbers:
        place = place[:-1]
    return numbers.get(place, 1)
