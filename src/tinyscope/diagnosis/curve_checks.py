"""Checks of a study's training curves: overfitting, too few epochs, too small, a restless rate."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tinyscope.diagnosis.augmentation_evidence import used
from tinyscope.diagnosis.learning_curves import Learnt, learnt, learnt_by_those_that_know, settles
from tinyscope.evaluation.intervals import Z95
from tinyscope.runs.run import ALL_EPOCHS
from tinyscope.wording import counted

GAP = 0.05
"""Of training over validation accuracy, from which a network is said to know images by heart."""
LEVEL = 0.03
"""Of that gap, below which training and validation are said to be level, where the 95% interval
over validation images leaves no room for `GAP` either."""
RISE = 0.1
"""Of the validation loss after its lowest, as a share, that shows overfitting where training is not
behind validation."""
TRIFLE = 0.03
"""In nats, below which such a rise is none: where nearly all images are known, losses are tiny."""
FALL = 0.03
"""Of the validation loss between the last two quarters of a training: still falling."""
KNOWN = 0.97
"""Of the images: above, more epochs or parameters have nothing left to learn."""
LOW = 0.9
"""Accuracy below which a network that is level is called too small."""
UNREST = 0.005
"""Standard deviation of the validation accuracy from epoch to epoch that a falling rate ends."""


class Outcome(NamedTuple):
    """What came of a check: items, or why it says nothing of this study."""

    items: list[dict[str, Any]]
    """Each with "variation", "evidence" (a sentence), and numbers."""
    not_applicable: str = ""
    """ "because …"."""


NO_VALIDATION = "because the study keeps no validation images"
_NO_HISTORY = "because no training was recorded epoch by epoch"


def _curves(summary: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Learnt]]:
    """Of those variations that learn epoch by epoch; models of scikit-learn are fitted at once."""
    trained = [one for one in summary["variations"] if one["recipe"]["classifier"] == "dense"]
    told = [(one, learnt_by_those_that_know(one)) for one in trained]
    return [(one, curves) for one, curves in told if curves is not None]


def _by_curves(
    judge: Callable[[Mapping[str, Any], Learnt], dict[str, Any] | None],
    *,
    open_for: Callable[[Mapping[str, Any], Learnt], bool] = lambda variation, seen: False,
) -> Callable[[Mapping[str, Any]], Outcome]:
    """A check that judges every variation by its curves.

    Args:
        judge: gives a variation's item, or None.
        open_for: whether too few validation images leave open what is to be said of a variation.
    """

    def check(summary: Mapping[str, Any]) -> Outcome:
        curves = _curves(summary)
        if not curves:
            validated = any(one["validation"] is not None for one in summary["variations"])
            return Outcome([], _NO_HISTORY if validated else NO_VALIDATION)
        items = [(one["name"], judge(one, seen)) for one, seen in curves]
        found = [{"variation": name, **item} for name, item in items if item is not None]
        left = [one for one, seen in curves if open_for(one, seen)]
        if found or not left:
            return Outcome(found)
        images = left[0]["validation"]["images"]  # all variations share them
        names = ", ".join(f"“{one['name']}”" for one in left)
        is_are = "is" if images == 1 else "are"
        too_few = f"{counted(images, 'validation image')} {is_are} too few"
        return Outcome(
            [],
            f"because {too_few} to tell whether training is ahead of validation in {names}",
        )

    return check


def overfits(variation: Mapping[str, Any], seen: Learnt) -> bool:
    """Whether training is ahead of validation by more than chance explains, or the loss rises.

    A loss also rises where nothing is learnt, from too high a rate for one. So it counts only if
    more is known than by chance, and of the training images as much as of the validation images.
    """
    if seen.gap > max(GAP, seen.margin):
        return True
    if not _rises(seen) or _only_guesses(variation):
        return False
    recipe = variation["recipe"]
    # Changed images are harder: level on them is ahead on the images as they are.
    harder = LEVEL if augments(recipe) or recipe["training_sizes"] else 0.0
    return _known_at_most(variation, seen) >= seen.val_accuracy - harder


def _only_guesses(variation: Mapping[str, Any]) -> bool:
    """Whether no training of the variation knows more than luck would."""
    return all(run["guesses"] for run in variation["runs"])


def _rises(seen: Learnt) -> bool:
    """Whether the validation loss has risen since its lowest, by more than a trifle."""
    return seen.rise >= RISE and seen.last_val_loss - seen.lowest_val_loss >= TRIFLE


def augments(recipe: Mapping[str, Any]) -> bool:
    """Whether a recipe changes its training images at random."""
    return bool(used(recipe))


def _overfitting(variation: Mapping[str, Any], seen: Learnt) -> dict[str, Any] | None:
    if not overfits(variation, seen):
        return None
    kept = "the epoch whose weights are kept" if _stops_early(variation) else "the last epoch"
    told = (
        f"In {kept} it knew {seen.train_accuracy:.1%} of the training images, counted while it "
        f"learnt{_as_changed(variation)}, and {seen.val_accuracy:.1%} of the validation images: "
        f"{100 * seen.gap:.1f} points apart"
    )
    if _rises(seen):
        told += (
            f"; the validation loss was lowest after epoch {seen.lowest_epoch:.0f} of "
            f"{seen.epochs:.0f} ({seen.lowest_val_loss:.2f}) and {seen.last_val_loss:.2f} in the "
            "end"
        )
    return {
        "evidence": told + ".",
        "train_accuracy": seen.train_accuracy,
        "val_accuracy": seen.val_accuracy,
        "gap": seen.gap,
        "val_loss_rise": seen.rise,
    }


def _as_changed(variation: Mapping[str, Any]) -> str:
    ways = ["changed at random"] * augments(variation["recipe"])
    ways += ["at smaller sizes"] * bool(variation["recipe"]["training_sizes"])
    told = f" from images {' and '.join(ways)}" if ways else ""
    share = variation["recipe"]["hardest_share"]
    told += f", the hardest {share:.0%} of each batch" if share < 1 else ""
    aware = variation["recipe"]["sam_steps"] > 0
    return told + (" and with weights moved to where the loss is higher" if aware else "")


def _known_at_most(variation: Mapping[str, Any], seen: Learnt) -> float:
    """Training accuracy, if all those images are known that were too easy to be learnt from."""
    share: float = variation["recipe"]["hardest_share"]
    return share * seen.train_accuracy + 1 - share


def _level(variation: Mapping[str, Any], seen: Learnt) -> bool | None:
    """Whether training and validation are level; None where so few images do not tell."""
    ahead = _known_at_most(variation, seen) - seen.val_accuracy
    if ahead >= LEVEL:
        return False
    return True if ahead + seen.margin < GAP else None


def _known(variation: Mapping[str, Any], seen: Learnt) -> float:
    """Share of the training images, as they are, that is known at the least.

    As they are, a network knows more of them than changed and while it learns, and at least as many
    as of new images.
    """
    return max(_known_at_most(variation, seen), seen.val_accuracy)


def _epochs(seen: Learnt) -> str:
    return counted(round(seen.epochs), "epoch")


def _stops_early(variation: Mapping[str, Any]) -> bool:
    return variation["recipe"]["early_stopping_patience"] is not None


def _all_epochs(variation: Mapping[str, Any]) -> bool:
    return all(run["stopped"] == ALL_EPOCHS for run in variation["runs"])


def ended_early(variation: Mapping[str, Any], seen: Learnt) -> bool:
    """Whether more epochs are likely to help.

    Where the rate ends near 0, or weights are averaged, the loss falls to the last epoch whatever
    is still to be learnt. There, what tells is that training and validation are level in the end,
    and part of the images is still unknown.
    """
    if not _could_go_on(variation, seen):
        return False
    if settles(variation["recipe"]):
        return _level(variation, seen) is True and _known(variation, seen) < KNOWN
    falls = seen.fall is not None and seen.fall >= FALL
    return falls and seen.lowest_epoch > 0.75 * seen.epochs and not _rises(seen)


def _could_go_on(variation: Mapping[str, Any], seen: Learnt) -> bool:
    """Whether all epochs of the recipe were run, and something was learnt in them.

    What only guesses (TS113) may need another rate; more epochs of the same promise nothing.
    """
    ran = _all_epochs(variation) and variation["recipe"]["epochs"] <= seen.epochs
    return ran and not _only_guesses(variation)


def _open_for_epochs(variation: Mapping[str, Any], seen: Learnt) -> bool:
    """Whether too few validation images leave open if more epochs would help."""
    unsure = _level(variation, seen) is None and _known(variation, seen) < KNOWN
    return settles(variation["recipe"]) and unsure and _could_go_on(variation, seen)


def _too_few_epochs(variation: Mapping[str, Any], seen: Learnt) -> dict[str, Any] | None:
    if not ended_early(variation, seen):
        return None
    recipe = variation["recipe"]
    if settles(recipe):
        end = f"Its learning rate ends near 0 (schedule “{recipe['schedule']}”)"
        if recipe["averaged_steps"]:
            end = "The weights of its last steps are averaged"
        told = (
            f"{end}, so that its loss had to fall to the end; but after {_epochs(seen)} it knew "
            f"{seen.train_accuracy:.1%} of the training images, counted while it learnt"
            f"{_as_changed(variation)}, and {seen.val_accuracy:.1%} of the validation images: a "
            "longer schedule has room."
        )
    else:
        assert seen.fall is not None  # `ended_early` asks for it
        told = (
            f"Its validation loss fell by {seen.fall:.1%} from the last but one quarter of its "
            f"{seen.epochs:.0f} epochs to the last, and was lowest after epoch "
            f"{seen.lowest_epoch:.0f}."
        )
    return {
        "evidence": told,
        "epochs": seen.epochs,
        "val_loss_fall": seen.fall,
        "train_accuracy": seen.train_accuracy,
        "val_accuracy": seen.val_accuracy,
    }


def _too_small(variation: Mapping[str, Any], seen: Learnt) -> dict[str, Any] | None:
    if _level(variation, seen) is not True or not _knows_little(variation, seen):
        return None
    return {
        "evidence": (
            f"With {variation['parameters']:,} parameters it knew {seen.train_accuracy:.1%} of the "
            f"training images after {_epochs(seen)}, counted while it learnt"
            f"{_as_changed(variation)}, and {seen.val_accuracy:.1%} of the validation images."
        ),
        "parameters": variation["parameters"],
        "train_accuracy": seen.train_accuracy,
        "val_accuracy": seen.val_accuracy,
        "gap": seen.gap,
    }


def _knows_little(variation: Mapping[str, Any], seen: Learnt) -> bool:
    """Whether much is still unknown of images in general, and the loss has come to rest."""
    rests = settles(variation["recipe"]) or not ended_early(variation, seen)
    low = _known(variation, seen) < LOW and not _rises(seen)
    return low and rests and not _only_guesses(variation)


def _open_for_size(variation: Mapping[str, Any], seen: Learnt) -> bool:
    """Whether too few validation images leave open if the network is too small."""
    return _level(variation, seen) is None and _knows_little(variation, seen)


def nothing_learnt(summary: Mapping[str, Any]) -> Outcome:
    """TS113: trainings whose answers cannot be told from guesses, seed by seed."""
    curves = _curves(summary)
    if not curves:
        return overfitting(summary)
    found = [(one, [run for run in one["runs"] if run["guesses"]]) for one, _ in curves]
    return Outcome([_guessing(one, runs) for one, runs in found if runs])


def _guessing(variation: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The item of a variation of which these runs only guess."""
    labelled = [sum(row) for row in variation["validation"]["confusion"]]
    largest = max(labelled) / sum(labelled)
    told = [
        f"{learnt_by.train_accuracy:.1%} of the training images, counted while it learnt"
        f"{_as_changed(variation)}, and {run['val_accuracy']:.1%} of the validation images "
        f"(seed {run['seed']})"
        for run in runs
        if (learnt_by := learnt({**variation, "runs": [run]})) is not None
    ]
    return {
        "variation": variation["name"],
        "evidence": (
            f"It knew {'; '.join(told)}. Naming the largest class always would know {largest:.1%}."
        ),
        "seeds": [run["seed"] for run in runs],
        "largest_class": largest,
    }


def plain_images(summary: Mapping[str, Any]) -> Outcome:
    """TS106: overfitting, and no random change of the images."""
    curves = _curves(summary)
    if not curves:
        return overfitting(summary)
    ahead = [(one, seen) for one, seen in curves if overfits(one, seen)]
    return Outcome(
        [
            {
                "variation": one["name"],
                "evidence": (
                    f"It knew {seen.train_accuracy:.1%} of the training images, counted while it "
                    f"learnt{_as_changed(one)}, and {seen.val_accuracy:.1%} of the validation "
                    "images; no training image was changed at random in "
                    f"{_epochs(seen)}."
                ),
                "gap": seen.gap,
            }
            for one, seen in ahead
            if not augments(one["recipe"])
        ]
    )


def restless(variation: Mapping[str, Any], seen: Learnt) -> bool:
    """Whether the rate never falls, and the accuracy goes up and down with the epochs."""
    recipe = variation["recipe"]
    never = recipe["schedule"] == "constant" and recipe["plateau_patience"] is None
    images = seen.margin / Z95  # the standard deviation over images
    return never and seen.unrest is not None and seen.unrest >= max(UNREST, images / 2)


def _constant_rate(variation: Mapping[str, Any], seen: Learnt) -> dict[str, Any] | None:
    if not restless(variation, seen):
        return None
    assert seen.unrest is not None  # `restless` asks for it
    rate = variation["recipe"]["learning_rate"]
    return {
        "evidence": (
            f"Its rate is {rate:g} from the first to the last epoch, and in the second half of its "
            f"{seen.epochs:.0f} epochs the validation accuracy goes up and down by "
            f"{100 * seen.unrest:.2f} points (standard deviation)."
        ),
        "unrest": seen.unrest,
    }


overfitting = _by_curves(_overfitting)
"""TS101."""
too_few_epochs = _by_curves(_too_few_epochs, open_for=_open_for_epochs)
"""TS102."""
too_small = _by_curves(_too_small, open_for=_open_for_size)
"""TS105."""
constant_rate = _by_curves(_constant_rate)
"""TS110."""
