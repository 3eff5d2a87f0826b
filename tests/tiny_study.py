"""A study of two ways to train that takes a second, and a listener that keeps what it is told."""

from tinyscope.plan.study import Study
from tinyscope.sweep.listener import Listener

STUDY = Study(
    name="tiny",
    recipe="keras-adam",
    seeds=(0, 1),
    overrides={
        "model": "layer-stack",
        "layers": ["conv 4 3x3 same relu", "maxpool 4", "flatten"],
        "epochs": 2,
        "precision": "fp32",
    },
    variations={"fast": {"learning_rate": 0.01}},
)


class Recorder(Listener):
    """Keeps which trainings started, which epochs ended, and which folder was replaced."""

    def __init__(self):
        self.trained, self.rows, self.replaced = [], [], None

    def run_starts(self, run, number, of):
        self.trained.append((run.variation, run.seed))

    def epoch(self, run, row):
        self.rows.append((run.name, row["epoch"]))

    def replaces(self, folder):
        self.replaced = folder
