"""Properties that give a label away although they have nothing to do with what a picture shows.

A model takes the easiest way to the label. Where one class alone is saved as PNG, framed or taken
with one camera, that is the way, and it ends with the data set.

Brightness, colour and size in bytes differ between classes of every honest data set: aeroplanes are
bright, frogs are not. What such properties reach there sets the limits here. Of 20 measures of
brightness, colour, sharpness and borders (`data.image_quality`; the check looks at 16), the
strongest area under the ROC curve of a class against the rest, and the best guess of the class from
one measure (its balanced accuracy beyond chance, 1 for always right):

- CIFAR-10: 0.77 (blueness, airplane) and 0.10. CIFAR-100: 0.945 (colourfulness, orange) and 0.02.
- Digits: 0.981 (correlation of neighbouring pixels, 1) and 0.14.
- Two classes alone: 0.87 in CIFAR-10, 0.96 in CIFAR-100 (of 190 pairs of classes); 0.998 in digits,
  where 4 and 3 alone would be named.

A class brightened by 30% stays within what is natural: `pixel_shortcuts.odd_levels` finds it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tinyscope.inspection.associations import Association, associations
from tinyscope.inspection.purity import PURE, is_pure
from tinyscope.inspection.value_tables import (
    FEWEST,
    NO_VALUE,
    aucs_of_numbers,
    coded,
    counted,
    value_aucs,
)

AUC_LIMIT = 0.99
"""A property that orders a class before the rest this well is called a shortcut."""
SKILL_LIMIT = 0.8
"""So is one that names the class this often beyond chance (0 chance, 1 always)."""
_P_VALUE = 1e-3  # by chance, after Bonferroni's correction for all values and classes
_FEW_VALUES = 100  # up to so many different numbers, each is looked at by itself too
_SHOWN = 3  # values of one property that are named


class Shortcut(NamedTuple):
    """A property that gives a class away."""

    property: str
    value: str
    """What the images carry: "png", "0.61 or more"; of several values the most frequent first."""
    classes: tuple[str, ...]
    """The class, or those that it tells from the rest together; none where it tells all apart."""
    strength: str
    """One sentence with the figures."""
    rows: np.ndarray
    """int64, ascending: the images that carry it, those of other classes included; all images that
    have the property where it tells all classes apart."""


def property_shortcuts(
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    numeric: Mapping[str, np.ndarray],
    categorical: Mapping[str, Sequence[str | None]],
) -> list[Shortcut]:
    """The properties that give a class away.

    These are: a number that is above (or below) some value in one class and not in the others; a
    value that at least ten images carry, nine in ten of them of one class (`is_pure`), which chance
    hardly explains (Fisher's exact test, corrected for the number of values and classes); a value
    that one class carries and the others do not, or several classes, as where half of them come
    from another source; and a property that tells all classes apart. To have no value where others
    have one counts as a value.

    Args:
        labels: int (N,), in 0 … K-1.
        class_names: K names.
        numeric: by name, float or int (N,); NaN where an image has no such value.
        categorical: by name, N texts; None where an image has no such value.

    Returns:
        One for each property and class or group of classes at most, those of the first property
        first.
    """
    tables = {name: coded(texts) for name, texts in categorical.items()}
    found = []
    for name, values in numeric.items():
        given = _by_value(values)
        if given is not None:
            tables[name] = given
        found += _ranges(name, values, labels, class_names)
    tests = sum(len(texts) for _, texts in tables.values()) * len(class_names)
    ranged = {(each.property, each.classes) for each in found}
    for name, (codes, texts) in tables.items():
        found += [
            each
            for each in _values(name, codes, texts, labels, class_names, tests)
            if (each.property, each.classes) not in ranged
        ]
        found += _groups(name, codes, texts, labels, class_names)
    named = {each.property for each in found}
    for each in associations(labels, class_names, numeric=numeric, categorical=categorical):
        skill = (each.interval[0] - each.chance) / (1 - each.chance) if each.chance < 0.5 else 0
        if each.property not in named and skill > SKILL_LIMIT:
            found.append(_whole(each, numeric, categorical))
    order = [*numeric, *categorical]
    return sorted(found, key=lambda each: order.index(each.property))


def _by_value(values: np.ndarray) -> tuple[np.ndarray, list[str | None]] | None:
    """Like `coded`, of numbers of which there are few; else of "has one" and "has none"."""
    missing = np.isnan(values)
    numbers, codes = np.unique(values, return_inverse=True)
    codes = codes.reshape(-1)
    whole = (numbers[~np.isnan(numbers)] % 1 == 0).all()
    if whole and len(numbers) <= _FEW_VALUES:
        return codes, [NO_VALUE if np.isnan(number) else f"{number:g}" for number in numbers]
    if missing.any():
        return missing.astype(np.int64), ["any value", NO_VALUE]
    return None


def _ranges(
    name: str, values: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> list[Shortcut]:
    """The classes that lie above or below all others."""
    above, apart = aucs_of_numbers(values, labels, len(class_names))
    found = []
    for label in np.flatnonzero(apart >= AUC_LIMIT).tolist():
        high = above[label] >= 0.5
        known = np.flatnonzero(~np.isnan(values))
        own = labels[known] == label
        order = np.argsort(-values[known] if high else values[known], kind="stable")
        ordered = values[known][order]
        last = np.append(ordered[1:] != ordered[:-1], True)
        gained = np.cumsum(own[order]) / own.sum() - np.cumsum(~own[order]) / (~own).sum()
        limit = ordered[last][gained[last].argmax()]
        carries = known[values[known] >= limit] if high else known[values[known] <= limit]
        inside = int((labels[carries] == label).sum())
        found.append(
            Shortcut(
                name,
                f"{limit:.4g} or {'more' if high else 'less'}",
                (class_names[label],),
                f"{name} alone tells {class_names[label]} from the rest with an area under the "
                f"ROC curve of {apart[label]:.3f}: {inside:,} of its {own.sum():,} images lie "
                f"there, and {len(carries) - inside:,} of the {(~own).sum():,} others.",
                carries,
            )
        )
    return found


def _values(
    name: str,
    codes: np.ndarray,
    texts: Sequence[str | None],
    labels: np.ndarray,
    class_names: Sequence[str],
    tests: int,
) -> list[Shortcut]:
    """The classes that one or several values of a property give away."""
    from scipy.stats import hypergeom

    counts = counted(codes, labels, len(class_names))
    carried, in_class, total = counts.sum(1), counts.sum(0), counts.sum()
    told = is_pure(counts, carried[:, None], in_class, int(total))
    told |= value_aucs(counts) >= AUC_LIMIT
    told &= (counts >= PURE * FEWEST) & (carried[:, None] >= FEWEST)
    told &= np.array([text is not None for text in texts])[:, None]
    found = []
    for label in np.flatnonzero(told.any(0)).tolist():
        chosen = np.flatnonzero(told[:, label])
        p_values = tests * hypergeom.sf(
            counts[chosen, label] - 1, total, in_class[label], carried[chosen]
        )
        chosen = chosen[p_values <= _P_VALUE]
        if not len(chosen):
            continue
        chosen = chosen[np.argsort(-carried[chosen], kind="stable")]
        shown = [texts[code] or "" for code in chosen[:_SHOWN].tolist()]
        more = f" and {len(chosen) - _SHOWN} more" if len(chosen) > _SHOWN else ""
        rows = np.flatnonzero(np.isin(codes, chosen))
        inside = int((labels[rows] == label).sum())
        found.append(
            Shortcut(
                name,
                ", ".join(shown) + more,
                (class_names[label],),
                f"{inside:,} of the {len(rows):,} images that carry it are {class_names[label]}, "
                f"which has {in_class[label]:,} of all {total:,} images; by chance "
                f"{len(rows) * in_class[label] / total:,.1f} would be.",
                rows,
            )
        )
    return found


def _groups(
    name: str,
    codes: np.ndarray,
    texts: Sequence[str | None],
    labels: np.ndarray,
    class_names: Sequence[str],
) -> list[Shortcut]:
    """The values that several classes carry, half of them at most, and the others do not."""
    counts, found, divided = counted(codes, labels, len(class_names)), [], set()
    in_class = counts.sum(0)
    for code in np.flatnonzero([text is not None for text in texts]).tolist():
        group = 2 * counts[code] > in_class
        own, carried = in_class[group].sum(), counts[code][group].sum()
        rest, stray = in_class[~group].sum(), counts[code][~group].sum()
        if not 2 <= group.sum() <= (in_class > 0).sum() / 2 or rest < FEWEST:
            continue
        told = carried >= PURE * own and is_pure(carried, carried + stray, own, own + rest)
        told |= (1 + carried / own - stray / rest) / 2 >= AUC_LIMIT
        halves = min(group.tobytes(), (~group).tobytes())
        if not told or halves in divided:
            continue
        divided.add(halves)
        found.append(
            Shortcut(
                name,
                texts[code] or "",
                tuple(class_names[label] for label in np.flatnonzero(group).tolist()),
                f"{carried:,} of the {own:,} images of these {group.sum()} classes carry it, and "
                f"{stray:,} of the {rest:,} others.",
                np.flatnonzero(codes == code),
            )
        )
    return found


def _whole(
    each: Association,
    numeric: Mapping[str, np.ndarray],
    categorical: Mapping[str, Sequence[str | None]],
) -> Shortcut:
    if each.property in numeric:
        known = ~np.isnan(numeric[each.property])
    else:
        known = np.array([text is not None for text in categorical[each.property]])
    low, high = each.interval
    return Shortcut(
        each.property,
        "any",
        (),
        f"{each.property} alone names the class of {each.balanced_accuracy:.1%} of the images "
        f"(95% interval {low:.1%} to {high:.1%}; by chance {each.chance:.1%}).",
        np.flatnonzero(known),
    )
