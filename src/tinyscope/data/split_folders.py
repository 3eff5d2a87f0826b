"""Which folders of a data set are its splits, by their names and by what lies in them."""

import os
import re
from pathlib import Path

from tinyscope.data.file_tree import contents, is_clutter
from tinyscope.errors import DataError

_ROLES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_ADDED = {"set", "seg", "split", "data", "dataset", "images", "imgs", "folder"}
"""Words that stand beside a split's name: "train_set", "seg_test", "images-val"."""

_SHOWN = 2  # folders that are named
_MOST_SPLITS = 4  # more folders than these are classes, each sorted by year, say


def split_folders(folder: Path, source: str) -> dict[str, str]:
    """Where each split lies below a folder, "train" first; {"train": ""} where it has no splits.

    A class may be called "train", or "valid" beside "invalid": folders are splits where nothing
    else lies beside them, or where there are several and one is to train on. Where a split's folder
    holds nothing but one folder of that split again, as some archives are packed, that one counts.

    Args:
        folder: of the data set.
        source: its name in messages: "photos/".

    Raises:
        DataError: folders beside splits that are none, no split to train on, two of one kind, or
            folders that hold the same folders, as splits with other names do.
    """
    names, _ = contents(folder, "", [])
    roles = {name: role for name in names if (role := _role(name))}
    others = [name for name in names if name not in roles]
    kinds = set(roles.values())
    listed = " and ".join(f"{name}/" for name in roles)
    if not roles or (others and len(kinds) == 1) or (others and "train" not in kinds):
        _refuse_splits_by_other_names(folder, names, source)
        return {"train": ""}
    if others:
        raise DataError(
            f"{source}: beside {listed} lies {others[0]}/, which is no split. Move it away, or put "
            "all classes into one folder."
        )
    if "train" not in kinds:
        raise DataError(f"{source}: found {listed} but no train/.")
    if len(kinds) < len(roles):
        raise DataError(f"{source}: {listed} are not one folder a split. Leave one of each.")
    order = ("train", "validation", "test")
    return {
        role: _packed(folder, name, role)
        for name, role in sorted(roles.items(), key=lambda each: order.index(each[1]))
    }


def _role(name: str) -> str | None:
    """The split that a folder's name stands for; None for any other name."""
    words = [word for word in re.split(r"[\s_.-]+", name.casefold()) if word]
    left = [word for word in words if word not in _ADDED]
    if len(left) != 1:
        return None
    return _ROLES.get(left[0]) or _ROLES.get(left[0].removesuffix("set"))  # "trainset"


def _packed(folder: Path, name: str, role: str) -> str:
    """The folder of a split, or the only one in it where that is called so too and holds folders.

    "seg_train/seg_train/": a split may hold a single class that happens to be called like it.
    """
    inside, stray = contents(folder, name, [])
    if len(inside) != 1 or stray or _role(inside[0]) != role:
        return name
    inner = f"{name}/{inside[0]}"
    classes, stray = contents(folder, inner, [])
    return inner if classes and not stray else name


def _refuse_splits_by_other_names(folder: Path, names: list[str], source: str) -> None:
    """Refuses a few folders that hold the same two or more folders and no image beside them.

    Raises:
        DataError: there are such; as classes they would say nothing of what is on the images.
    """
    if len(names) > _MOST_SPLITS:
        return
    alike: dict[frozenset[str], list[str]] = {}
    for name in names:
        inside = _folders_only(folder / name)
        if len(inside) > 1:
            alike.setdefault(inside, []).append(name)
    for inside, those in alike.items():
        if len(those) > 1:
            first = sorted(inside)[:_SHOWN]
            more = " …" if len(inside) > len(first) else ""
            raise DataError(
                f"{source}: {_listed(those)} hold the same folders ({', '.join(first)}{more}), so "
                "they look like splits, not classes. Call them train/, val/ and test/, or give the "
                "path of one; if they are the classes, put images straight into them."
            )


def _listed(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    shown = [f"{name}/" for name in names[:_SHOWN]]
    return f"{', '.join(shown)} and {rest} more" if rest > 0 else " and ".join(shown)


def _folders_only(folder: Path) -> frozenset[str]:
    """Names of the folders in a folder; none where an image may lie beside them.

    It ends at the first such file: a class folder may hold half a million.
    """
    found = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_clutter(entry.name):
                    continue
                if not entry.is_dir():
                    return frozenset()
                found.add(entry.name.casefold())
    except OSError:  # the walk through the classes will say so
        return frozenset()
    return frozenset(found)
