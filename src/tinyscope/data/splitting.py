"""Training, validation and test images: stratified, with copies of an image on one side."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.data.duplicates import cached_groups
from tinyscope.errors import DataError, InputError


def complete(
    splits: Splits, *, validation: float = 0.1, seed: int = 0, test: float = 0.15
) -> Splits:
    """The data set with the splits that it lacks cut from its training images.

    The test split is cut first, then validation from what is left. Each class gives its share,
    to within one image or one group of near copies (`duplicates.copy_groups`), which never
    part, and at least one image to each side. A split that the source has is used as it is; with
    `validation` 0 its validation images join the training images. Images keep their order, and the
    list of those left out stays with the training split.

    The same seed gives the same rows with any version of numpy and on any machine: the draw uses
    only the raw numbers of PCG64, whose stream is fixed.

    A split is a copy of its rows, but of a memory-mapped data set a view that reads them from the
    disk (`mapped_rows.MappedRows`); splits that need no cut are as they were. Only training and
    validation images that are joined are read into memory, wherever they lie.

    Args:
        splits: as loaded.
        validation: share of the training images, in 0 … 1 (1 excluded); 0 for no validation split.
        seed: of the cut; not the seed of a training.
        test: share of the training images where the source has no test split, in 0 … 1 (both
            excluded).

    Raises:
        InputError: `validation` is out of range.
        DataError: a class has too few images that are no copies of one another.
    """
    if not 0 <= validation < 1:
        raise InputError(
            f"validation = {validation:g}: expected a share of the training images from 0 up to, "
            "but not including, 1; 0.1 is usual."
        )
    train, kept, tested = splits.train, splits.validation, splits.test
    if not validation and kept is not None:
        train, kept = _joined(train, kept), None
    shares = {}
    if tested is None:
        shares["test"] = test
    if validation and kept is None:
        shares["validation"] = validation
    if not shares:
        return replace(splits, train=train, validation=kept)

    sides = _cut(train, cached_groups(train), shares, seed)
    parts = {
        split: train.select(rows, split=split, with_left_out=split == "train")
        for split, rows in sides.items()
    }
    return Splits(
        splits.name, parts["train"], parts.get("validation", kept), parts.get("test", tested)
    )


def _joined(train: ImageDataset, validation: ImageDataset) -> ImageDataset:
    return replace(
        train,
        images=np.concatenate([train.images, validation.images]),
        labels=np.concatenate([train.labels, validation.labels]),
        files=train.files + validation.files,
        left_out=train.left_out + validation.left_out,
    )


def _cut(
    dataset: ImageDataset, groups: np.ndarray, shares: dict[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Rows, ascending, of each side: those of `shares`, cut in that order, and "train"."""
    members = _members(dataset.labels, groups)
    in_class = Counter(label for counts in members.values() for label in counts)
    _check(dataset, in_class, shares)

    # Of equal numbers, which 64 bits hardly ever give, the first goes first.
    draw = np.random.PCG64(seed).random_raw(len(members))
    names = list(members)
    ungiven = [names[place] for place in np.argsort(draw, kind="stable")]
    images_left = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    side_of = {}
    for later, (split, share) in zip(range(len(shares), 0, -1), shares.items(), strict=True):
        wanted = np.maximum(np.floor(share * images_left + 0.5), 1).astype(np.int64)
        taken = _take(ungiven, members, wanted, in_class, keep=later)
        for label in np.flatnonzero(images_left).tolist():
            if not any(label in members[group] for group in taken):  # only if copies span classes
                raise DataError(
                    f'{dataset.source}: no image of class "{dataset.class_names[label]}" can go '
                    f"into the {split} split, because all have copies in small classes. Remove "
                    "copies, or give the splits as folders train, val and test."
                )
        ungiven = [group for group in ungiven if group not in taken]
        for group in taken:
            side_of[group] = split
            for label, images in members[group].items():
                images_left[label] -= images
    sides = np.array([side_of.get(group, "train") for group in groups.tolist()])
    return {split: np.flatnonzero(sides == split) for split in (*shares, "train")}


def _members(labels: np.ndarray, groups: np.ndarray) -> dict[int, Counter[int]]:
    """The images of each class in each group, by ascending group."""
    members: dict[int, Counter[int]] = defaultdict(Counter)
    for group, label in zip(groups.tolist(), labels.tolist(), strict=True):
        members[group][label] += 1
    return dict(sorted(members.items()))


def _take(
    ungiven: list[int],
    members: dict[int, Counter[int]],
    wanted: np.ndarray,
    in_class: Counter[int],
    *,
    keep: int,
) -> set[int]:
    """The groups, in the order drawn, that give each class what is wanted and no more.

    A class whose groups are all larger than that gives its smallest.

    Args:
        ungiven: groups in the order drawn.
        members: images of each class, by group.
        wanted: int (K,), images of each class.
        in_class: groups that each class has; what is taken goes off.
        keep: groups that each class keeps.
    """
    taken: set[int] = set()
    got: Counter[int] = Counter()

    def take(group: int) -> None:
        taken.add(group)
        got.update(members[group])
        in_class.subtract(members[group].keys())

    for group in ungiven:
        if all(
            in_class[label] > keep and got[label] + images <= wanted[label]
            for label, images in members[group].items()
        ):
            take(group)
    for label in list(in_class):
        if not got[label]:
            spare = [
                group
                for group in ungiven
                if label in members[group]
                and group not in taken
                and all(in_class[other] > keep for other in members[group])
            ]
            if spare:
                take(min(spare, key=lambda group: members[group].total()))
    return taken


def _check(dataset: ImageDataset, in_class: Counter[int], shares: dict[str, float]) -> None:
    """Refuses classes that cannot be on every side."""
    needed = 1 + len(shares)
    few = [label for label in range(len(dataset.class_names)) if in_class[label] < needed]
    if not few:
        return
    images = dataset.counts()[few[0]]
    has = f"{images} image{'' if images == 1 else 's'}"
    way = ""
    if images >= needed:
        distinct = in_class[few[0]]
        has += f", of which only {distinct} {'is no copy' if distinct == 1 else 'are no copies'}"
        # Shots of a camera that never moves are near copies; only their owner can part them.
        way = " If they are shots of one scene, cut them yourself into train/, val/ and test/."
    sides = "training, validation and test" if needed == 3 else f"training and {next(iter(shares))}"
    others = f" ({len(few) - 1} more like it)" if len(few) > 1 else ""
    raise DataError(
        f'{dataset.source}: class "{dataset.class_names[few[0]]}" has {has}; at least {needed} are '
        f"needed, one each for {sides}. Add images or remove the class{others}.{way}"
    )
