"""Study: a question, the data, a base recipe and its variations; TOML in and out."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tinyscope.errors import InputError, nearest
from tinyscope.plan.published_figures import PublishedFigures, with_tables
from tinyscope.plan.recipe import KEYS, Recipe, faults
from tinyscope.plan.recipe_book import recipe
from tinyscope.plan.spelling import NONE, spelled
from tinyscope.plan.study_faults import (
    STUDY_KEYS,
    VARIATION_KEYS,
    Fault,
    Place,
    grid_points,
    is_unicode,
    study_faults,
)

_SETTABLE = ("validation", "split_seed", "size", "review", "base")
"""Keys of a study that `--set` reaches beside those of its recipes."""

NETWORK = (
    *("model", "layers", "widths", "depth", "normalization"),
    *("backbone", "backbone_layer", "backbone_size", "pooling", "classifier", "head"),
)
"""Recipe keys that give a network its weights' names and shapes, or what it makes of pixels."""


_FIRST_SEEDS: Any = (0, 1, 2)


class _Seeds:
    """For type checkers: given as a count or as numbers, and always read as numbers.

    Nothing of it runs; dataclasses take what a descriptor can be set to for what may be given.
    """

    def __get__(self, study: object, kind: type | None = None) -> tuple[int, ...]:
        raise NotImplementedError

    def __set__(self, study: object, given: Sequence[int] | int) -> None:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, and everything that is trained to answer it.

    Raises:
        InputError: a value is of the wrong type or out of range; all such faults at once.
    """

    name: str
    """Of the study's folder below `tinyscope-runs/`."""
    question: str = ""
    """What the study is to find out."""
    data: str = "digits"
    """A name of `tinyscope list datasets`, or a path; relative ones, here and below, are seen from
    the folder that the study is run in, not from its file."""
    recipe: str = "plain"
    """The base, a name of `tinyscope list recipes`."""
    variations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """For each variation, the recipe keys that it changes; `recipe`, where its base is another
    one; `start_from`, where it begins with the weights that another variation ended with."""
    grid: Mapping[str, list[Any]] = field(default_factory=dict)
    """Recipe keys with values; every combination is a variation."""
    base: bool = True
    """Whether the unchanged base runs too, as the variation "base"."""
    only: Sequence[str] = ()
    """The variations that are run, and those that they begin with the weights of; empty for all."""
    seeds: _Seeds = _FIRST_SEEDS
    """One run of every variation each; a count stands for the first ones. The lowest one ships."""
    validation: float = 0.1
    """Share of the training images that is set apart to choose by; 0 for none."""
    split_seed: int = 0
    """Cuts the validation images, whatever a run's own seed is."""
    size: int | None = None
    """Side in pixels that images are brought to; None leaves it to the data set."""
    review: str = ""
    """Path of a review file, which excludes or relabels training images; empty for none."""
    published: Mapping[str, float | Mapping[str, Any]] = field(default_factory=dict)
    """What others published, by variation: `published_figures.FIGURES` and `differs`, or the test
    accuracy alone. `published_figures` has it in one form."""
    published_source: str = ""
    """Where those figures come from."""
    published_tables: str = ""
    """A folder with published curves, figures by class and confusion matrices: the name of one that
    comes along, or a path; empty for none."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Recipe keys that win over the base and over every variation (`--set`)."""

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or set(self.name) & set("/\\"):
            raise InputError(f"{spelled(self.name)} cannot name a study: it names a folder.")
        if not is_unicode(self.name):
            raise InputError(f"{self.name!a} cannot name a study: it is no Unicode.")
        self._refuse(study_faults(_plain(self)))
        seeds = range(self.seeds) if isinstance(self.seeds, int) else self.seeds
        object.__setattr__(self, "seeds", tuple(seeds))
        object.__setattr__(self, "only", tuple(self.only))

    def recipes(self) -> dict[str, Recipe]:
        """The recipe of every variation that is run, in the study's order.

        Raises:
            InputError: the keys of a variation contradict one another.
        """
        self._refuse(self.contradictions())
        changes = self._changes()
        for name in self.left_out():
            del changes[name]
        bases = {base: recipe(base) for base, _ in changes.values()}
        return {name: bases[base].changed(change) for name, (base, change) in changes.items()}

    def left_out(self) -> tuple[str, ...]:
        """The variations that are not run, in the study's order."""
        if not self.only:
            return ()
        wanted, starts = set(self.only), self.starts()
        while more := {starts[name] for name in wanted if name in starts} - wanted:
            wanted |= more
        return tuple(name for name in self._changes() if name not in wanted)

    def starts(self) -> dict[str, str]:
        """For each variation that does not begin with weights of its own, whose it begins with.

        Its run of a seed takes the weights that the other's run of the same seed ended with.
        """
        bodies = self.variations.items()
        return {name: body["start_from"] for name, body in bodies if "start_from" in body}

    def ancestors(self, variation: str) -> int:
        """How many trainings come before that of a variation: 0 where it begins by itself."""
        start = self.starts().get(variation)
        return 0 if start is None else 1 + self.ancestors(start)

    def published_figures(
        self, class_names: Sequence[str] | None = None
    ) -> dict[str, PublishedFigures]:
        """What others published of each variation, in the study's order, tables included.

        Args:
            class_names: of the data, which published tables have to keep to; None leaves it open.

        Raises:
            InputError: the folder of tables is missing, or a table has faults, told by line.
        """
        return with_tables(
            self.published,
            self.published_tables,
            variations=list(self._changes()),
            class_names=class_names,
        )

    def contradictions(self) -> list[Fault]:
        """The keys of a variation that do not fit one another, each with its place in a file."""
        found: list[Fault] = []
        changes, starts = self._changes(), self.starts()
        bases = {base: recipe(base).as_dict() for base, _ in changes.values()}
        values = {name: bases[base] | change for name, (base, change) in changes.items()}
        for name, own in values.items():
            place: Place = ("overrides",) if name == "base" else ("grid",)
            if name in self.variations:
                place = ("variations", name)
            texts = faults(own)
            if not self.validation:
                texts += _unwatched(own)
            if name in starts:
                texts += _unfit_start(own, values[starts[name]], starts[name])
            found += [(place, f'variation "{name}": {text}') for text in texts]
        return found

    def _changes(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Each variation's base recipe, and what it changes of it, in the study's order."""
        bodies: dict[str, Mapping[str, Any]] = {"base": {}} if self.base else {}
        bodies |= {**self.variations, **grid_points(self.grid)}
        changes = {}
        for name, body in bodies.items():
            own = {key: value for key, value in body.items() if key not in VARIATION_KEYS}
            changes[name] = body.get("recipe", self.recipe), {**own, **self.overrides}
        return changes

    def _refuse(self, found: Sequence[Fault]) -> None:
        if found:
            raise InputError(f"Study {self.name}: " + " ".join(text for _, text in found))

    def with_overrides(self, changes: Mapping[str, Any]) -> "Study":
        """This study with some of its own keys, or recipe keys of all its variations, replaced.

        Raises:
            InputError: a key is unknown, or a value does not fit.
        """
        own = {key: value for key, value in changes.items() if key in _SETTABLE}
        recipe_keys = {key: value for key, value in changes.items() if key not in _SETTABLE}
        for key in recipe_keys:
            if key in VARIATION_KEYS:
                raise InputError(f"{key} cannot be set for all variations; it is for a study file.")
            if key in STUDY_KEYS:
                raise InputError(
                    f"{key} is a key of the study that cannot be set so. Besides recipe keys there "
                    f"are {', '.join(_SETTABLE)}."
                )
            if key not in KEYS and (guess := nearest(key, (*KEYS, *_SETTABLE))) in _SETTABLE:
                raise InputError(
                    f'Unknown key "{key}". Did you mean "{guess}"? Besides recipe keys there are '
                    f"{', '.join(_SETTABLE)}."
                )
        problems = faults(recipe_keys, partly=True)
        if problems:
            raise InputError(" ".join(problems))
        if own.get("size") == NONE:
            own["size"] = None
        return replace(self, **own, overrides={**self.overrides, **recipe_keys})

    def on(self, data: str) -> "Study":
        """This study on another data set, or on its own one from another place.

        Published figures belong to the study's own data: they go with it, unless the other one has
        its name.
        """
        if data == self.data or _last_part(data) == _last_part(self.data):
            return replace(self, data=data)
        return replace(self, data=data, published={}, published_source="", published_tables="")

    def as_toml(self) -> str:
        """The study file that reads back as this study (its name is the file's)."""
        lines = []
        tables: dict[str, Mapping[str, Any]] = {}
        for key, value in _plain(self).items():
            if value is None or value == ():
                continue
            if key in ("variations", "published"):
                single = {
                    name: each for name, each in value.items() if not isinstance(each, Mapping)
                }
                tables |= {key: single} if single else {}
                tables |= {
                    f"{key}.{_key(name)}": each
                    for name, each in value.items()
                    if isinstance(each, Mapping)
                }
            elif isinstance(value, Mapping):
                tables |= {key: value} if value else {}
            else:
                lines.append(f"{key} = {_value(value)}")
        for title, body in tables.items():
            lines += ["", f"[{title}]"]
            lines += [f"{_key(key)} = {_value(value)}" for key, value in body.items()]
        return "\n".join(lines) + "\n"


def _unwatched(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with a recipe's values where there are no validation images."""
    return [
        f"{key} = {values[key]} watches the validation loss, and validation = 0 leaves no such "
        f'images. Set validation = 0.1, or {key} = "none".'
        for key in ("early_stopping_patience", "plateau_patience")
        if values[key] not in (None, NONE)
    ]


def _unfit_start(values: Mapping[str, Any], others: Mapping[str, Any], start: str) -> list[str]:
    """What keeps a recipe from beginning with the weights of another; values of both."""
    given = f'start_from = "{start}"'
    for key in NETWORK:
        if _comparable(values[key]) != _comparable(others[key]):
            return [f"{given} goes on with the same network, and {key} is not as there."]
    if values["classifier"] != "dense":
        return [f'{given} goes on training, and classifier = "{values["classifier"]}" cannot.']
    return []


def _last_part(path: str) -> str:
    return path.rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def _comparable(value: Any) -> Any:
    if value is None:
        return NONE
    return list(value) if isinstance(value, tuple) else value


def _plain(study: Study) -> dict[str, Any]:
    return {key: getattr(study, key) for key in Study.__dataclass_fields__ if key != "name"}


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(part) for part in value)}]"
    # What JSON writes is TOML, but for None and for one control character that it leaves as it is.
    text = json.dumps(NONE if value is None else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
