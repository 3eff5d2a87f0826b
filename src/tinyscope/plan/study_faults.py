"""What can be wrong with a study: each fault with its place, all of them at once."""

import itertools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from tinyscope.errors import nearest, unknown
from tinyscope.plan.published_figures import figure_fault
from tinyscope.plan.recipe import KEYS, fault_of
from tinyscope.plan.recipe_book import RECIPES
from tinyscope.plan.spelling import spelled

Place = tuple[str, ...]
"""Keys from the top of a study file down to a fault: ("variations", "smooth", "epochs")."""

Fault = tuple[Place, str]
"""Where, and what, as a sentence."""

Judges = Mapping[str, Callable[[Any], str | None]]
"""By recipe key: what is wrong with a value of the right type, as a sentence, or None. They are
given, as `models.recipe_faults.JUDGES`: plan itself knows no models and no layers."""

_SCALARS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "question": (str, "a text"),
    "data": (str, "a text"),
    "recipe": (str, "a text"),
    "base": (bool, "true or false"),
    "validation": ((int, float), "a number"),
    "split_seed": (int, "a whole number"),
    "size": (int, "a whole number"),
    "review": (str, "a text"),
    "published_source": (str, "a text"),
    "published_tables": (str, "a text"),
}
VARIATION_KEYS = ("recipe", "start_from")
"""What a variation may hold beside recipe keys: its own base, and whose weights it begins with."""

_TABLES = ("variations", "grid", "overrides", "published")

STUDY_KEYS = (*_SCALARS, "seeds", "only", *_TABLES)
"""What may stand at the top of a study file."""

SEEDS = 2**32
"""Seeds are below this."""

_MOST = 1000
"""Seeds, and combinations of a grid, at most: more are a seed taken for a count, or a slip."""

_BASE_IS_NO_TABLE = (
    "base is true or false, and no table: recipe keys of all variations stand below [overrides], "
    "keys of the study above the first [table]."
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._=,+-]{0,79}")
_LONGEST_POINT = 160  # a run's folder bears its variation's name, and more


def study_faults(values: Mapping[str, Any], judges: Judges | None = None) -> list[Fault]:
    """Every fault of a study's single values and names.

    Whether the keys of one variation fit one another is for `Study.contradictions`.

    Args:
        values: the study as TOML gives it.
        judges: of recipe keys that plan cannot judge alone.
    """
    found: list[Fault] = []
    for key, value in values.items():
        if key not in STUDY_KEYS:
            found.append(((key,), _unknown_key(key)))
        elif key in _SCALARS and not (key == "size" and value is None):
            kind, meaning = _SCALARS[key]
            if key == "base" and isinstance(value, Mapping):
                found.append(((key,), _BASE_IS_NO_TABLE))
            elif not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                found.append(((key,), f"{key} = {spelled(value)} is not {meaning}."))
            elif isinstance(value, str) and not is_unicode(value):
                found.append(
                    (
                        (key,),
                        f"{key} is {value!a}, which is no Unicode; a study's file cannot keep "
                        "it. Rename the folder or file if it is the name of one.",
                    )
                )
    wrong = {place for place, _ in found}
    found += _range_faults({key: value for key, value in values.items() if (key,) not in wrong})
    found += _seed_faults(values.get("seeds", 1))
    tables = {}
    for key in _TABLES:
        tables[key] = values.get(key, {})
        if not isinstance(tables[key], Mapping):
            found.append(((key,), f"{key} is not a table."))
            tables[key] = {}
    has_base = values.get("base") is not False
    found += _variation_faults(tables["variations"], judges or {}, has_base=has_base)
    found += _key_faults(("overrides",), tables["overrides"], judges or {})
    found += _grid_faults(tables["grid"], judges or {})
    names = variation_names(values, found)
    if names is not None:
        points = grid_points(tables["grid"])
        found += [
            (("variations", name), f'"{name}" is the name of a point of the grid; choose another.')
            for name in tables["variations"]
            if name in points
        ]
        found += _start_faults(tables["variations"], names)
    found += _only_faults(values.get("only", ()), names)
    found += _published_faults(tables["published"], names)
    if values.get("base") is False and not tables["variations"] and not tables["grid"]:
        found.append((("base",), "base = false leaves nothing to run."))
    return found


def is_unicode(text: str) -> bool:
    """Whether a text can be stored: paths may be of bytes that are no UTF-8."""
    try:
        text.encode()
        return True
    except UnicodeEncodeError:
        return False


def variation_names(values: Mapping[str, Any], found: Collection[Fault]) -> list[str] | None:
    """The names of all variations of a study, which their own faults do not hide.

    Args:
        values: the study as TOML gives it.
        found: its faults.

    Returns:
        None where the faults leave open which variations there are.
    """
    if any(place[0] == "grid" or place == ("variations",) for place, _ in found):
        return None
    base = ["base"] * (values.get("base") is not False)
    return [*base, *values.get("variations", {}), *grid_points(values.get("grid", {}))]


def _unknown_key(key: str) -> str:
    if key in KEYS:
        return f"{key} is a recipe key, which stands below [overrides] or [variations.NAME]."
    if key in VARIATION_KEYS:
        return f"{key} stands below [variations.NAME]."
    guess = nearest(key, STUDY_KEYS)
    hint = f'Did you mean "{guess}"? ' if guess else ""
    return f'Unknown study key "{key}". {hint}The keys are {", ".join(STUDY_KEYS)}.'


def _range_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of single values that are of the right type."""
    if (name := values.get("recipe", "plain")) not in RECIPES:
        yield ("recipe",), _unknown_recipe(name)
    if not 0 <= (share := values.get("validation", 0)) < 1:
        yield ("validation",), f"validation = {share} is out of range: at least 0, below 1."
    if not 0 <= (seed := values.get("split_seed", 0)) < SEEDS:
        yield ("split_seed",), f"split_seed = {seed} is out of range: at least 0, below {SEEDS}."
    if (size := values.get("size")) is not None and not 8 <= size <= 512:
        yield ("size",), f"size = {size} is out of range: at least 8, at most 512."


def _unknown_recipe(name: str) -> str:
    return unknown("recipe", name, RECIPES, see="tinyscope list recipes")


def _seed_faults(seeds: Any) -> Iterator[Fault]:
    if type(seeds) is int and 1 <= seeds <= _MOST:
        return
    whole = isinstance(seeds, (list, tuple)) and all(type(seed) is int for seed in seeds)
    if whole and 0 < len(set(seeds)) == len(seeds) and all(0 <= seed < SEEDS for seed in seeds):
        return
    yield (
        ("seeds",),
        f"seeds = {spelled(seeds)} is neither a count from 1 to {_MOST} nor a list of different "
        "whole numbers from 0.",
    )


def _variation_faults(
    variations: Mapping[str, Any], judges: Judges, *, has_base: bool
) -> Iterator[Fault]:
    for name, body in variations.items():
        place = ("variations", name)
        fits = _NAME.fullmatch(name) or _names_point(name)
        if not fits or (name == "base" and has_base):
            text = (
                f'"{name}" cannot name a variation: expected at most 80 letters, digits and '
                '" ._=,+-", a letter or digit first, and not "base".'
            )
            yield place, text
        if not isinstance(body, Mapping):
            yield place, f"{'.'.join(place)} is not a table of recipe keys."
            continue
        own = {key: value for key, value in body.items() if key in VARIATION_KEYS}
        for key, value in own.items():
            if not isinstance(value, str):
                yield (*place, key), f"{key} = {spelled(value)} is not a text."
            elif key == "recipe" and value not in RECIPES:
                yield (*place, key), _unknown_recipe(value)
        others = {key: value for key, value in body.items() if key not in own}
        yield from _key_faults(place, others, judges)


def _names_point(name: str) -> bool:
    """Whether a grid could have called a variation so: written out, it keeps its name."""
    first, separator, _ = name.partition("=")
    return bool(separator) and first in KEYS and len(name) <= _LONGEST_POINT


def _key_faults(place: Place, body: Mapping[str, Any], judges: Judges) -> Iterator[Fault]:
    for key, value in body.items():
        if text := _value_fault(key, value):
            yield (*place, key), text
        elif text := _judged(key, value, judges):
            whose = f'variation "{place[1]}": ' if place[0] == "variations" else ""
            yield (*place, key), f"{whose}{text}"


def _start_faults(variations: Mapping[str, Any], names: Collection[str]) -> Iterator[Fault]:
    """Faults of where variations start from, as far as that is a text."""
    starts = {
        name: body["start_from"]
        for name, body in variations.items()
        if isinstance(body, Mapping) and isinstance(body.get("start_from"), str)
    }
    told: set[str] = set()
    for name, start in starts.items():
        place = ("variations", name, "start_from")
        if start not in names:
            yield place, _no_variation(f'start_from = "{start}"', start, names)
        path = [name]
        while (start := starts.get(path[-1], "")) in starts and start not in path:
            path.append(start)
        if start == name and not told & set(path):
            told |= set(path)
            circle = ", then ".join(f'"{each}"' for each in [*path, name])
            yield place, f"start_from goes round in a circle: {circle}."


def _value_fault(key: str, value: Any) -> str | None:
    if key in VARIATION_KEYS:
        return f"{key} is no recipe key; it stands below [variations.NAME]."
    return _study_key_fault(key) or fault_of(key, value)


def _study_key_fault(key: str) -> str | None:
    """What is wrong with a key of the study within one of its tables: the commonest slip of TOML.

    A [table] goes on to the next one, so that a key below it is the table's.
    """
    if key in _TABLES:
        return f"{key} is a table of the study, which is written [{key}]."
    if key in STUDY_KEYS:
        return f"{key} is a key of the study, which stands above the first [table]."
    return None


def _judged(key: str, value: Any, judges: Judges) -> str | None:
    return judges[key](value) if key in judges else None


def _grid_faults(grid: Mapping[str, Any], judges: Judges) -> list[Fault]:
    """At most one fault a key; where there is none, what is wrong with the combinations."""
    found: list[Fault] = []
    for key, values in grid.items():
        if text := _axis_fault(key, values, judges):
            found.append((("grid", key), text))
    if found:
        return found
    size = math.prod(len(values) for values in grid.values())
    if size > _MOST:
        return [(("grid",), f"The grid has {size} combinations; at most {_MOST} are allowed.")]
    longest = max(grid_points(grid), key=len, default="")
    if len(longest) > _LONGEST_POINT:
        text = f'The name "{longest}" has more than {_LONGEST_POINT} letters; vary fewer keys.'
        return [(("grid",), text)]
    return []


def _axis_fault(key: str, values: Any, judges: Judges) -> str | None:
    if text := _study_key_fault(key):
        return text
    if not isinstance(values, (list, tuple)) or not values:
        return f"grid.{key} is not a list of values."
    for number, value in enumerate(values):
        if text := _value_fault(key, value):
            return text
        if isinstance(value, (list, tuple)):
            return f"grid.{key} holds lists; write such values below [variations.NAME]."
        if text := _judged(key, value, judges):
            return text
        if value in values[:number]:
            return f"grid.{key} holds {spelled(value)} twice."
    return None


def grid_points(grid: Mapping[str, Collection[Any]]) -> dict[str, dict[str, Any]]:
    """Every combination of a grid's values, by its name, such as "epochs=5,nesterov=true"."""
    points = {}
    for values in itertools.product(*grid.values()):
        shown = [value if isinstance(value, str) else spelled(value) for value in values]
        name = ",".join(f"{key}={text}" for key, text in zip(grid, shown, strict=True))
        points[name] = dict(zip(grid, values, strict=True))
    return points if grid else {}


def _only_faults(only: Any, names: Collection[str] | None) -> Iterator[Fault]:
    """Faults of the variations to run; `names` is None where those of all are not known."""
    if not isinstance(only, (list, tuple)) or not all(isinstance(each, str) for each in only):
        yield ("only",), f"only = {spelled(only)} is not a list of names of variations."
        return
    for name in only:
        if names is not None and name not in names:
            told = _no_variation(f'only: "{name}"', name, names)
            yield ("only",), f"{told} They are {', '.join(names)}."


def _published_faults(
    published: Mapping[str, Any], names: Collection[str] | None
) -> Iterator[Fault]:
    """Faults of published figures; `names` is None where those of the variations are not known."""
    for name, given in published.items():
        place = ("published", name)
        if names is not None and name not in names and (text := _study_key_fault(name)):
            yield place, text
            continue
        if isinstance(given, Mapping):
            for key, value in given.items():
                if text := figure_fault(".".join(place), key, value):
                    yield (*place, key), text
        else:
            number = isinstance(given, (int, float)) and not isinstance(given, bool)
            if not number or not 0 <= given <= 1:
                told = f"published.{name} = {spelled(given)}"
                yield (
                    place,
                    f"{told} is neither an accuracy between 0 and 1 nor a table of figures.",
                )
        if names is not None and name not in names:
            yield place, _no_variation(f"published.{name}", name, names)


def _no_variation(given: str, name: str, names: Collection[str]) -> str:
    guess = nearest(name, names)
    hint = f' Did you mean "{guess}"?' if guess else ""
    return f"{given} is the name of no variation of this study.{hint}"
