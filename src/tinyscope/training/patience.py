"""Reduce-on-plateau and early stopping: both wait for the validation loss to fall."""

from dataclasses import asdict, dataclass
from typing import Any

from tinyscope.plan.recipe import Recipe


@dataclass
class Patience:
    """Counts the epochs in which a loss was not lower than ever before."""

    lowest: float = float("inf")
    waited: int = 0

    def saw(self, loss: float, *, by: float = 0.0) -> bool:
        """Whether `loss` is lower than the lowest so far by more than `by`; a NaN never is."""
        if loss < self.lowest - by:
            self.lowest, self.waited = loss, 0
            return True
        self.waited += 1
        return False


class ValidationWatch:
    """What a training does about its validation loss, epoch by epoch.

    Its state is plain numbers: a resumed training waits no longer than an uninterrupted one.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._best = Patience()
        self._plateau = Patience()
        self.rate_factor = 1.0
        """What reduce-on-plateau has made of the learning rate."""
        self.best_epoch: int | None = None
        """The epoch with the lowest validation loss so far, from 1."""

    def after_epoch(self, epoch: int, loss: float) -> bool:
        """Takes an epoch's validation loss; returns whether it is the lowest so far.

        As Keras' ReduceLROnPlateau does by default, the plateau's patience overlooks an improvement
        of less than 1e-4.
        """
        patience = self._recipe.plateau_patience
        if patience is not None:
            self._plateau.saw(loss, by=1e-4)
            if self._plateau.waited >= patience:
                self._reduce()
                self._plateau.waited = 0
        improved = self._best.saw(loss)
        if improved:
            self.best_epoch = epoch
        return improved

    def _reduce(self) -> None:
        lowest = self._recipe.plateau_minimum / max(self._recipe.learning_rate, 1e-30)
        self.rate_factor = max(
            self.rate_factor * self._recipe.plateau_factor, min(lowest, self.rate_factor)
        )

    @property
    def wants_to_stop(self) -> bool:
        """Whether early stopping's patience is used up."""
        patience = self._recipe.early_stopping_patience
        return patience is not None and self._best.waited >= patience

    def state(self) -> dict[str, Any]:
        """Everything as plain JSON values (infinity aside, which is None)."""
        return {
            "best": _finite(asdict(self._best)),
            "plateau": _finite(asdict(self._plateau)),
            "rate_factor": self.rate_factor,
            "best_epoch": self.best_epoch,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state that `state` gave."""
        self._best = _patience(state["best"])
        self._plateau = _patience(state["plateau"])
        self.rate_factor = state["rate_factor"]
        self.best_epoch = state["best_epoch"]


def _finite(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"lowest": None} if state["lowest"] == float("inf") else state


def _patience(state: dict[str, Any]) -> Patience:
    lowest = float("inf") if state["lowest"] is None else state["lowest"]
    return Patience(lowest, state["waited"])
