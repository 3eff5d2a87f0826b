"""The check of file names (TS018): kinds of names that one class, or a few, have alone.

No model sees a file name. Classes whose files are named in a way of their own may come from another
source, though, and what the pictures then share beside their subject is a shortcut (TS016).
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

from tinyscope.data.dataset import ImageDataset
from tinyscope.inspection.file_checks import NO_FILES
from tinyscope.inspection.findings import Item, Outcome
from tinyscope.inspection.shortcuts import property_shortcuts
from tinyscope.wording import listed

_SPELLED = "*"
_LETTERS = re.compile(r"[^\W\d_]+")
_TOLD = 5  # classes that are named where several share a kind of names
_OWN = 0.9  # share of a pattern's images that are of a class, for the pattern to spell its name


def name_check(train: ImageDataset, *, as_files: bool) -> Outcome:
    """The outcome of TS018; an item is a class.

    Args:
        train: the training images.
        as_files: whether the images are files, so that their names are somebody's choice.
    """
    if not as_files:
        return Outcome(not_applicable=NO_FILES)
    patterns = name_patterns(train.files, train.labels, train.class_names)
    compared = np.array([_SPELLED not in pattern for pattern in patterns.tolist()], bool)
    if len(np.unique(train.labels[compared])) < 2:
        return Outcome()
    found = property_shortcuts(
        train.labels[compared],
        train.class_names,
        numeric={},
        categorical={"file name": patterns[compared].tolist()},
    )
    items = [
        Item(
            detail=f"files called {one.value}: {one.strength}",
            score=1.0,
            split="train",
            class_name=name,
        )
        for one in found
        for name in one.classes or ("",)
    ]
    told = "; ".join(
        f"{listed(one.classes, most=_TOLD) or 'all classes'}: {one.value}" for one in found
    )
    return Outcome(items=items, summary=told and f"Kinds of file names by class, {told}.")


def name_patterns(
    files: Sequence[str], labels: np.ndarray, class_names: Sequence[str]
) -> np.ndarray:
    """What is left of the images' file names without running numbers, folders and endings.

    Where hardly another class has such names, the name of the image's own class becomes "*", also
    in the singular, as one word of several, or abbreviated: "cat.17.jpg" among cats and "dog.4.jpg"
    among dogs are both "*.#", for a file name that spells the label is a habit.

    Args:
        files: N names, as in `ImageDataset.files`.
        labels: int (N,), in 0 … K-1.
        class_names: K names.

    Returns:
        str (N,).
    """
    own = [re.compile(re.escape(name), re.IGNORECASE) for name in class_names]
    words = [[*_words(name), "".join(_words(name))] for name in class_names]
    stems = [re.split(r"[/\\]", file)[-1].rsplit(".", 1)[0] for file in files]
    plain = [re.sub(r"\d+", "#", stem) for stem in stems]
    labelled = list(zip(plain, labels.tolist(), strict=True))
    of_pattern, of_class = Counter(plain), Counter(labelled)

    @cache
    def spells(word: str, label: int) -> bool:
        return any(_same_stem(word.casefold(), each) for each in words[label])

    def spelled(stem: str, label: int) -> str:
        if any(words[label]):  # a class called "5" is not meant by the 5 of a running number
            stem = own[label].sub(_SPELLED, stem)
        stem = _LETTERS.sub(lambda word: _SPELLED if spells(word[0], label) else word[0], stem)
        return re.sub(r"\d+", "#", stem)

    # What several classes share is no spelling of the label, though a class be called "train".
    return np.array(
        [
            spelled(stem, label)
            if of_class[pattern, label] >= _OWN * of_pattern[pattern]
            else pattern
            for stem, (pattern, label) in zip(stems, labelled, strict=True)
        ]
    )


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _LETTERS.findall(name)]


def _same_stem(word: str, name: str) -> bool:
    """Whether a word of a file name stands for a class name: "c", "cat" or "catty" for "cats"."""
    if not name:
        return False
    shorter, longer = sorted((len(word), len(name)))
    differ = (place for place in range(shorter) if word[place] != name[place])
    shared = next(differ, shorter)
    if shared == len(word) or (shared == len(name) and shared > 1):
        return True  # "auto" of automobile, "cats" of cat
    if shared >= 3 and shorter - shared <= 1 and longer - shared <= 3:
        return True  # "wolf" of wolves
    return len(word) >= 3 and name.endswith(word)  # "plane" of airplane
