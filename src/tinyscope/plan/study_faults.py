"""What can be wrong with a study: each fault with its place, all of them at once."""

import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tinyscope.errors import nearest, unknown
from tinyscope.plan.recipe import KEYS, fault_of, spelled
from tinyscope.plan.recipe_book import RECIPES

Place = tuple[str, ...]
"""Keys from the top of a study file down to a fault: ("variations", "smooth", "epochs")."""

Fault = tuple[Place, str]
"""Where, and what, as a sentence."""

Choices = Mapping[str, Collection[str]]
"""Recipe keys with the values that exist, as `{"model": names}`; plan itself knows no models."""

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
}
STUDY_KEYS = (*_SCALARS, "seeds", "variations", "grid", "overrides", "published")
"""What may stand at the top of a study file."""

SEEDS = 2**32
"""Seeds are below this."""

_MOST = 1000
"""Seeds, and combinations of a grid, at most: more are a seed taken for a count, or a slip."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._=,+-]{0,79}")
_LONGEST_POINT = 160  # a run's folder bears its variation's name, and more


def study_faults(values: Mapping[str, Any], choices: Choices | None = None) -> list[Fault]:
    """Every fault of a study's single values and names.

    Whether the keys of one variation fit one another is for `Study.contradictions`.

    Args:
        values: the study as TOML gives it.
        choices: recipe keys with the values that exist.
    """
    found: list[Fault] = []
    for key, value in values.items():
        if key not in STUDY_KEYS:
            found.append(((key,), _unknown_key(key)))
        elif key in _SCALARS and not (key == "size" and value is None):
            kind, meaning = _SCALARS[key]
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                found.append(((key,), f"{key} = {spelled(value)} is not {meaning}."))
    wrong = {place for place, _ in found}
    found += _range_faults({key: value for key, value in values.items() if (key,) not in wrong})
    found += _seed_faults(values.get("seeds", 1))
    tables = {}
    for key in ("variations", "grid", "overrides", "published"):
        tables[key] = values.get(key, {})
        if not isinstance(tables[key], Mapping):
            found.append(((key,), f"{key} is not a table."))
            tables[key] = {}
    of_variations = list(_variation_faults(tables["variations"], choices or {}))
    of_variations += _key_faults(("overrides",), tables["overrides"], choices or {})
    of_variations += _grid_faults(tables["grid"], choices or {})
    names = None if of_variations else {"base", *tables["variations"], *grid_points(tables["grid"])}
    found += of_variations
    found += _published_faults(tables["published"], names)
    if values.get("base") is False and not tables["variations"] and not tables["grid"]:
        found.append((("base",), "base = false leaves nothing to run."))
    return found


def _unknown_key(key: str) -> str:
    if key in KEYS:
        return f"{key} is a recipe key, which stands below [overrides] or [variations.NAME]."
    guess = nearest(key, STUDY_KEYS)
    hint = f'Did you mean "{guess}"? ' if guess else ""
    return f'Unknown study key "{key}". {hint}The keys are {", ".join(STUDY_KEYS)}.'


def _range_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of single values that are of the right type."""
    if (name := values.get("recipe", "plain")) not in RECIPES:
        yield ("recipe",), unknown("recipe", name, RECIPES, see="tinyscope list recipes")
    if not 0 <= (share := values.get("validation", 0)) < 1:
        yield ("validation",), f"validation = {share} is out of range: at least 0, below 1."
    if not 0 <= (seed := values.get("split_seed", 0)) < SEEDS:
        yield ("split_seed",), f"split_seed = {seed} is out of range: at least 0, below {SEEDS}."
    if (size := values.get("size")) is not None and not 8 <= size <= 512:
        yield ("size",), f"size = {size} is out of range: at least 8, at most 512."


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


def _variation_faults(variations: Mapping[str, Any], choices: Choices) -> Iterator[Fault]:
    for name, body in variations.items():
        place = ("variations", name)
        if not _NAME.fullmatch(name) or name == "base":
            text = (
                f'"{name}" cannot name a variation: expected at most 80 letters, digits and '
                '" ._=,+-", a letter or digit first, and not "base".'
            )
            yield place, text
        if isinstance(body, Mapping):
            yield from _key_faults(place, body, choices)
        else:
            yield place, f"{'.'.join(place)} is not a table of recipe keys."


def _key_faults(place: Place, body: Mapping[str, Any], choices: Choices) -> Iterator[Fault]:
    for key, value in body.items():
        if text := _value_fault(key, value, choices):
            yield (*place, key), text


def _value_fault(key: str, value: Any, choices: Choices) -> str | None:
    text = fault_of(key, value)
    if text is None and key in choices and value not in choices[key]:
        return unknown(key, value, choices[key], see=f"tinyscope list {key}s")
    return text


def _grid_faults(grid: Mapping[str, Any], choices: Choices) -> list[Fault]:
    """At most one fault a key; where there is none, what is wrong with the combinations."""
    found: list[Fault] = []
    for key, values in grid.items():
        if text := _axis_fault(key, values, choices):
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


def _axis_fault(key: str, values: Any, choices: Choices) -> str | None:
    if not isinstance(values, (list, tuple)) or not values:
        return f"grid.{key} is not a list of values."
    for number, value in enumerate(values):
        if text := _value_fault(key, value, choices):
            return text
        if isinstance(value, (list, tuple)):
            return f"grid.{key} holds lists; write such values below [variations.NAME]."
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


def _published_faults(
    published: Mapping[str, Any], names: Collection[str] | None
) -> Iterator[Fault]:
    """Faults of published figures; `names` is None where those of the variations are not known."""
    for name, accuracy in published.items():
        place = ("published", name)
        number = isinstance(accuracy, (int, float)) and not isinstance(accuracy, bool)
        if not number or not 0 <= accuracy <= 1:
            given = f"published.{name} = {spelled(accuracy)}"
            yield place, f"{given} is not an accuracy between 0 and 1."
        elif names is not None and name not in names:
            guess = nearest(name, names)
            hint = f' Did you mean "{guess}"?' if guess else ""
            yield place, f"published.{name} is the name of no variation of this study.{hint}"
