"""Ideas: what could be changed of a study's recommended recipe, and what each may bring.

Every suggestion answers a check of `study_checks` on the recommended variation, and is ranked by
the validation accuracy that it is expected to bring, by these rules (e: the share of validation
images that it gets wrong; gap: training less validation accuracy):

| suggestion | expected |
|---|---|
| a learning rate of a quarter, where one diverged (TS108) or guesses (TS113) | e / 2 |
| an augmentation off (TS104) | what it costs: by a pair of variations, else by the inspection |
| mirrored and shifted images where none change (TS106) | gap / 2, at most e / 2; else e / 20 |
| the same for a frozen backbone, four views of each | gap / 4, at most e / 4; else e / 20 |
| a square cut out as well, where some change already (TS101) | gap / 5, at most e / 5 |
| the recipe `quick` (TS112) | on all of CIFAR-10 what it has shown there; else e / 5, untested |
| `standard` in its place | where CIFAR-10's images are known better than by `quick`, likewise |
| twice the epochs (TS102) | half of what their second half brought; e / 14 if the rate ends at 0 |
| a wider network (TS105, TS103) | e / 14 (TS105), share of the pair x e / 4 (TS103) |
| a deeper one, of a whitened CNN | 0.7 times that |
| the backbone that comes along trained too (TS105) | 90 a class: e / 8; 450: 0.3 e; 4,000: 0.55 e |
| of another backbone, or of few images, the last block trained too (TS105) | e / 10 |
| the rate ends near 0 (TS110) | twice the unrest, at most e / 4; e / 30 where it is calm |
| smoothed labels (TS101) | gap / 10, at most e / 10 |
| half the epochs of a rate that is no constant (TS101) | gap / 20, at most e / 20 |
| a narrower whitened CNN, or one less deep (TS101) | e / 40, or 0.7 times that |
| the best epoch's weights (TS101) | what that epoch was better by |
| several looks at an image (TS111) | e / 10 |

Measured on CIFAR-10 were: twice the epochs of a short schedule and half again as wide a network,
each a fourteenth of the errors (`docs/experiments.md`, rows 1 and 26; `results/`, "quickstart"),
six looks, a tenth ("time-to-accuracy"), and the backbone trained too ("few-images"). The others are
judgement. What no check found fault with is offered last, at e / 40, and what answers a gap expects
no less. Where images are known by heart (TS101), there is no larger network, and twice the epochs
only where TS102 asks for them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from tinyscope.batch_count import batch_count
from tinyscope.diagnosis.answer_checks import on_all_of_cifar10
from tinyscope.diagnosis.augmentation_evidence import harms, used
from tinyscope.diagnosis.curve_checks import augments
from tinyscope.diagnosis.fitted_recipes import borne, fast, fine_tuned, training_images
from tinyscope.diagnosis.learning_curves import Learnt, settles
from tinyscope.plan.recipe import FEW_STEPS
from tinyscope.plan.recipe_book import MEASURED, WHITENED
from tinyscope.runs.run import ALL_EPOCHS
from tinyscope.wording import counted

_FAST = tuple((name, MEASURED[name].accuracy) for name in ("quick", "standard"))
_WIDER = "compact-cnn-wide"
_NOT_WIDENED = (_WIDER, "resnet-20")
_FINE_TUNED = {4000: 0.55, 450: 0.3, 90: 0.125}
"""The share of its errors that a backbone lost by learning on, from so many training images a class
on: "few-images" and "fine-tuning-all-images" in `results/`. With 18 images a class it lost none."""
_ENOUGH_WITHOUT = 4000
"""Training images of a class from which on `quick` needs no backbone: with all of CIFAR-10 a frozen
one brought 86.4% ("features-all-images" in `results/`)."""
_JUDGES = ("TS101", "TS102", "TS105", "TS106", "TS108", "TS109", "TS110", "TS112", "TS113")
"""Checks that find fault with how many images a variation knows, or with how it came to that."""


PRICED: Literal["priced"] = "priced"
"""The cost of an idea that changes the network: whoever can build it has to tell."""


class Idea(NamedTuple):
    """A suggestion that is not ranked yet."""

    code: str
    title: str
    why: str
    changes: dict[str, Any]
    gain: float
    cost: float | Literal["priced"] | None
    """As a multiple of the variation's training; None where nothing is known."""


class Ideas:
    """Everything that could be said of one variation, whether or not it applies."""

    def __init__(
        self,
        summary: Mapping[str, Any],
        start: Mapping[str, Any],
        seen: Learnt | None,
        found: Mapping[str, list[dict[str, Any]]],
    ) -> None:
        self.summary, self.start, self.found = summary, start, found
        self.recipe: Mapping[str, Any] = start["recipe"]
        self.accuracy: float = start["validation"]["accuracy"]
        self.errors = 1 - self.accuracy
        self.gap = max(0.0, seen.gap) if seen is not None else 0.0
        self.seen = seen
        self.height, self.width = summary["data"]["image_shape"][:2]
        self.images = training_images(summary)

    def all(self) -> Iterator[Idea]:
        """Every idea that reads the variation's own keys."""
        yield from self._slower()
        yield from self._without_augmentation()
        if self.recipe["model"] == "transfer":
            yield from self._of_transfer()
        else:
            yield from self._augmentation()
            yield from self._fast_recipe()
            yield from self._wider()
        if self.recipe["classifier"] == "dense":
            yield from self._longer()
            yield from self._falling_rate()
            yield from self._against_overfitting()
        mirrors = self.recipe["horizontal_flip"] and not self._harms("horizontal_flip", True)
        if mirrors and self.recipe["test_views"] == "one":
            changes = {"test_views": "mirrored-and-moved"}
            yield self._idea("TS111", "Look at an image six times", changes, self.errors / 10)

    def _idea(
        self,
        code: str,
        title: str,
        changes: dict[str, Any],
        gain: float,
        *,
        cost: float | Literal["priced"] | None = 1.0,
        why: str = "",
    ) -> Idea:
        """An idea whose evidence is the finding's, unless there is another."""
        told = [item["evidence"] for item in self.found[code]]
        return Idea(code, title, why or (told[0] if told else self._calm()), changes, gain, cost)

    def _calm(self) -> str:
        """What there is to say where a check has found nothing."""
        if self.seen is None:
            return f"It knows {self.accuracy:.1%} of the validation images."
        told = (
            f"It knows {self.accuracy:.1%} of the validation images and "
            f"{self.seen.train_accuracy:.1%} of the training images after "
            f"{counted(round(self.seen.epochs), 'epoch')}"
        )
        if any(self.found[code] for code in _JUDGES):
            return f"{told}."
        return f"{told}; no check found fault with that, so this is worth little more than a try."

    def _of_gap(self, part: int) -> float:
        """A part of what is known of the training images alone, and no less than a try is worth."""
        return max(min(self.gap, self.errors) / part, self.errors / 40)

    def _slower(self) -> Iterator[Idea]:
        for code in ("TS108", "TS113"):
            if self.found[code]:
                changes = {"learning_rate": self.recipe["learning_rate"] / 4}
                yield self._idea(code, "A quarter of the learning rate", changes, self.errors / 2)
                return

    def _without_augmentation(self) -> Iterator[Idea]:
        for item in self.found["TS104"]:
            key = item["key"]
            changes: dict[str, Any] = {key: False if "flip" in key else 0}
            if key == "horizontal_flip":
                changes |= {"alternating_flip": False, "test_views": "one"}
                changes = {k: v for k, v in changes.items() if self.recipe[k] != v}
            title = f"Train without {key.replace('_', ' ')}"
            yield self._idea("TS104", title, changes, item["cost"], why=item["evidence"])

    def _augmentation(self) -> Iterator[Idea]:
        missing = {
            key: value
            for key, value in borne(self.summary, self.start).items()
            if not self.recipe[key]
        }
        if not augments(self.recipe) and missing:
            half = self._of_gap(2) if self.found["TS106"] else self.errors / 20
            yield self._idea("TS106", _augmented(missing), missing, half)
        elif self.found["TS101"]:
            side = max(1, min(self.height, self.width) // 4)
            missing |= (
                {} if self.recipe["cutout"] or self._harms("cutout", side) else {"cutout": side}
            )
            gain = self._of_gap(5)
            if missing:
                yield self._idea("TS101", _augmented(missing), missing, gain)

    def _harms(self, key: str, amount: Any) -> bool:
        return bool(harms(self.summary, self.start, key, amount))

    def _of_transfer(self) -> Iterator[Idea]:
        """More views of each image for a frozen backbone; the backbone trained too; or none."""
        if self.recipe["unfrozen_blocks"]:
            yield from self._augmentation()
            return
        each = self.images / len(self.summary["data"]["class_names"])
        if each >= _ENOUGH_WITHOUT:
            yield from self._fast_recipe()
        allowed = borne(self.summary, self.start)
        if not used(self.recipe) and allowed:
            changes = {**allowed, "feature_views": 4}
            gain = self._of_gap(4) if self.found["TS106"] else self.errors / 20
            title = f"{_augmented(allowed)}, four views of each"
            yield self._idea("TS106", title, changes, gain, cost=None)
        target = fine_tuned(self.summary, self.start)
        same = all(self.recipe[key] == target[key] for key in ("backbone", "backbone_layer"))
        share = next((share for least, share in _FINE_TUNED.items() if each >= least), None)
        if same and share is not None:
            changes = {key: value for key, value in target.items() if value != self.recipe[key]}
            why = (
                f"It knows {self.accuracy:.1%} of the validation images with a frozen backbone. On "
                "CIFAR-10, training the backbone too took an eighth of the errors away with 90 "
                "images a class, three tenths with 450, and half of them with 5,000; here are "
                f"{each:,.0f}."
            )
            gain = share * self.errors
            yield self._idea("TS105", "Fine-tune the backbone", changes, gain, cost=None, why=why)
        elif (
            self.recipe["classifier"] == "dense"
            and self.recipe["feature_views"] == 1
            and self.recipe["optimizer"] != "muon"  # which may spoil a backbone's kernels
        ):
            changes = {"unfrozen_blocks": 1}
            gain = self.errors / 10
            yield self._idea("TS105", "Train the last block too", changes, gain, cost=None)

    def _fast_recipe(self) -> Iterator[Idea]:
        """The recipe `quick`; on CIFAR-10, the first of `_FAST` that was more accurate."""
        if self.recipe["model"] in WHITENED or min(self.height, self.width) < 8:
            return
        cifar = on_all_of_cifar10(self.summary)
        better = (one for one in _FAST if not cifar or one[1] > self.accuracy)
        name, accuracy = next(better, ("", 0.0))
        if not name:
            return
        target = fast(name, self.summary, self.start)
        changes = {
            key: value
            for key, value in target.items()
            if value != self.recipe[key] and key != "precision"
        }
        gain = accuracy - self.accuracy if cifar else self.errors / 5
        why = (
            f"It knows {self.accuracy:.1%} of the validation images; the recipe {name} knew "
            f"{accuracy:.1%} of CIFAR-10's test images."
        )
        why += "" if cifar else " What it does on this data was not measured."
        yield self._idea(
            "TS112",
            f"The recipe {name}",
            changes,
            gain,
            cost=PRICED,
            why="" if self.found["TS112"] else why,
        )

    def _wider(self) -> Iterator[Idea]:
        if self.found["TS113"]:  # a network of another size would not learn either
            return
        if self.found["TS101"]:  # the larger a network, the more it knows by heart
            yield from self._smaller()
            return
        pairs = self.found["TS103"]
        code = "TS105" if self.found["TS105"] or not pairs else "TS103"
        gain = self.errors / 14 if code == "TS105" else pairs[0]["share"] * self.errors / 4
        if code == "TS105" and not self.found["TS105"]:
            gain = self.errors / 40
        if self.recipe["model"] in WHITENED:
            widths = [8 * -(-3 * width // 16) for width in self.recipe["widths"]]
            changes: dict[str, Any] = {"widths": widths}
            yield self._idea(code, "Groups half again as wide", changes, gain, cost=PRICED)
            depth = self.recipe["depth"] + 1
            title = f"{depth} convolutions in each group"
            yield self._idea(code, title, {"depth": depth}, 0.7 * gain, cost=PRICED)
        elif self.recipe["model"] not in _NOT_WIDENED:
            changes = {"model": _WIDER} | ({"layers": []} if self.recipe["layers"] else {})
            title = f"The network {_WIDER}, with batch norm"
            yield self._idea(code, title, changes, gain, cost=PRICED)

    def _smaller(self) -> Iterator[Idea]:
        if self.recipe["model"] not in WHITENED:
            return
        gain = self.errors / 40
        # Whole eights are what a processor computes at a time: below them nothing gets narrower.
        widths = [min(width, 8 * max(1, 3 * width // 32)) for width in self.recipe["widths"]]
        if widths != list(self.recipe["widths"]):
            changes = {"widths": widths}
            yield self._idea("TS101", "Narrower groups", changes, gain, cost=PRICED)
        depth = self.recipe["depth"] - 1
        if depth > 1:
            title = f"{depth} convolutions in each group"
            yield self._idea("TS101", title, {"depth": depth}, 0.7 * gain, cost=PRICED)

    def _longer(self) -> Iterator[Idea]:
        code, epochs = "TS102", self.recipe["epochs"]
        if not all(run["stopped"] == ALL_EPOCHS for run in self.start["runs"]):
            return
        if self.found["TS101"] and not self.found[code]:
            return  # it would learn more by heart
        if not self.found[code]:
            gain = self.errors / 40
        elif settles(self.recipe):
            gain = self.errors / 14
        else:
            brought = self.seen.second_half if self.seen is not None else None
            gain = max(self.errors / 40, (brought or 0.0) / 2)
        yield self._idea(code, "Twice the epochs", {"epochs": 2 * epochs}, gain, cost=2.0)

    def _falling_rate(self) -> Iterator[Idea]:
        if settles(self.recipe):
            return
        changes: dict[str, Any] = {"schedule": "cosine"}
        if self.recipe["plateau_patience"] is not None:
            changes["plateau_patience"] = None
        gain = self.errors / 30
        if self.found["TS110"]:
            gain = min(2 * self.found["TS110"][0]["unrest"], self.errors / 4)
        yield self._idea("TS110", "Let the learning rate end near 0", changes, gain)

    def _against_overfitting(self) -> Iterator[Idea]:
        seen = self.seen if self.found["TS101"] else None
        if not self.recipe["label_smoothing"] and len(self.summary["data"]["class_names"]) > 2:
            gain = self._of_gap(10) if seen is not None else self.errors / 40
            yield self._idea("TS101", "Smooth the labels", {"label_smoothing": 0.1}, gain)
        if seen is None or self.recipe["early_stopping_patience"] is not None:
            return
        epochs = self.recipe["epochs"] // 2
        steps = epochs * batch_count(self.images, self.recipe["batch_size"])
        if self.recipe["schedule"] != "constant":
            if epochs and steps >= FEW_STEPS:
                gain = self._of_gap(20)
                yield self._idea("TS101", "Half the epochs", {"epochs": epochs}, gain, cost=0.5)
        elif not settles(self.recipe) and (gain := self._best_epochs_lead()) > 0:
            patience = max(3, self.recipe["epochs"] // 4)
            changes = {"early_stopping_patience": patience}
            cost = min(1.0, (seen.lowest_epoch + patience) / seen.epochs)
            yield self._idea("TS101", "Keep the best epoch's weights", changes, gain, cost=cost)

    def _best_epochs_lead(self) -> float:
        """Validation accuracy of the epoch with the lowest loss, less that of the last; a mean."""
        leads = []
        for run in self.start["runs"]:
            rows = [row for row in run["history"] if row["val_loss"] is not None]
            if rows:
                best = min(rows, key=lambda row: row["val_loss"])
                leads.append(best["val_accuracy"] - rows[-1]["val_accuracy"])
        return sum(leads) / len(leads) if leads else 0.0


def _augmented(keys: Mapping[str, Any]) -> str:
    words = {"horizontal_flip": "mirrored", "shift": "shifted", "cutout": "partly blanked"}
    told = [words[key] for key in keys]
    listed = told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"
    return f"{listed.capitalize()} training images"
