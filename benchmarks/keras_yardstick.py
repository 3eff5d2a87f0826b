"""Trains a published network in Keras; reads a job from standard input, prints one JSON line.

Run by time_to_accuracy.py with the Python of an environment that has requirements-keras.txt. The
clocks count `model.fit` without validation images, TensorFlow's preparations in its first step
included; not the reading of the images, nor their conversion to float32. A line an epoch goes to
standard error.
"""

import json
import platform
import sys
import time
from datetime import UTC, datetime

import numpy as np
from keras_worker import keras, network, tf


def trained(job: dict) -> dict:
    """What the training took, and what it is worth on the test images, which it meets then."""
    keras.utils.set_random_seed(0)
    with np.load(job["data"], allow_pickle=False) as stored:
        images = {part: stored[f"{part}_images"].astype("float32") / 255 for part in SPLITS}
        labels = {part: stored[f"{part}_labels"] for part in SPLITS}
    one_hot = np.eye(job["classes"], dtype="float32")
    model = network(job["layers"], images["train"].shape[1:], job["classes"])
    sgd = keras.optimizers.SGD(job["learning_rate"], momentum=job["momentum"])
    model.compile(sgd, "categorical_crossentropy", metrics=["accuracy"])
    epochs: list[float] = []

    class Told(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            epochs.append(round(time.perf_counter() - self.start, 3))
            told = f"  Keras, epoch {epoch + 1} of {job['epochs']}: {epochs[-1]:.1f} s"
            print(f"{told}, training accuracy {(logs or {})['accuracy']:.1%}", file=sys.stderr)

    started = _now()
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(
        images["train"],
        one_hot[labels["train"]],
        batch_size=job["batch"],
        epochs=job["epochs"],
        verbose=0,
        callbacks=[Told()],
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    finished = _now()
    loss, accuracy = model.evaluate(images["test"], one_hot[labels["test"]], verbose=0)
    return {
        "started": started,
        "finished": finished,
        "train_seconds": round(wall, 3),
        "train_cpu_seconds": round(cpu, 3),
        "epoch_seconds": epochs,
        "test_accuracy": accuracy,
        "test_loss": loss,
        "parameters": model.count_params(),
        "policy": keras.config.dtype_policy().name,
        "jit_compile": bool(model.jit_compile),
        "versions": {
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
        },
    }


SPLITS = ("train", "test")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    print(json.dumps(trained(json.load(sys.stdin))))
