"""Times one Tinyscope training; reads a job from standard input, prints one JSON line.

Run by throughput.py, in a process of its own, as the Keras side is.
"""

import json
import sys

from tinyscope.threads import prepare

prepare()  # as the command line does

import numpy as np
import torch

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.plan.recipe_book import recipe
from tinyscope.training.trainer import train


def timed(job: dict) -> list[float]:
    """Images a second of each epoch but the first, in which kernels are prepared."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (job["images"], 32, 32, 3), dtype=np.uint8)
    labels = random.integers(0, 10, job["images"])
    data = Splits("random", ImageDataset(images, labels, tuple("0123456789"), "train", "random"))
    changes = {"sgd": {"momentum": 0.9}}.get(job["optimizer"], {})
    asked = recipe(f"keras-{job['optimizer']}").changed(
        {
            "model": "layer-stack",
            "layers": job["layers"],
            "batch_size": job["batch"],
            "epochs": job["epochs"],
            "precision": job["settings"]["precision"],
            **changes,
        }
    )
    return [row["images_per_second"] for row in train(data, asked).history[1:]]


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps({"rates": timed(asked), "versions": {"torch": torch.__version__}}))
