"""Times one Keras training on TensorFlow; reads a job from standard input, prints one JSON line.

Run by throughput.py with the Python of an environment that has requirements-keras.txt;
keras_yardstick.py takes its networks from here.
"""

import json
import os
import re
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def network(
    lines: list[str], shape: tuple[int, ...] = (32, 32, 3), classes: int = 10
) -> keras.Model:
    """The layers of `tinyscope.models.layer_stack`, as Keras users write them."""
    stack: list = [keras.Input(shape)]
    for line in lines:
        words = line.split()
        activation = "relu" if words[-1] == "relu" else None
        if words[0] == "conv":
            kernel = int(words[2].split("x")[0])
            stride = int(match[1]) if (match := re.search(r"stride (\d+)", line)) else 1
            padding = "same" if "same" in words else "valid"
            stack.append(
                layers.Conv2D(int(words[1]), kernel, stride, padding, activation=activation)
            )
        elif words[0] == "dense":
            stack.append(layers.Dense(int(words[1]), activation=activation))
        elif words[0] == "maxpool":
            stack.append(layers.MaxPooling2D(int(words[1])))
        elif words[0] == "dropout":
            stack.append(layers.Dropout(float(words[1])))
        elif words[0] == "flatten":
            stack.append(layers.Flatten())
        else:
            raise ValueError(f"no Keras layer is known for {line!r}")
    stack.append(layers.Dense(classes, activation="softmax"))
    return keras.Sequential(stack)


def timed(job: dict, settings: dict) -> list[float]:
    """Images a second of each epoch but the first, in which TensorFlow compiles."""
    keras.mixed_precision.set_global_policy(settings["policy"])
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (job["images"], 32, 32, 3)).astype("float32") / 255
    labels = np.eye(10, dtype="float32")[random.integers(0, 10, job["images"])]
    model = network(job["layers"])
    optimizer = {
        "rmsprop": lambda: keras.optimizers.RMSprop(),
        "adam": lambda: keras.optimizers.Adam(),
        "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    }[job["optimizer"]]()
    model.compile(
        optimizer,
        "categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=settings["jit_compile"],
        steps_per_execution=settings["steps_per_execution"],
    )
    if settings["input"] == "tf.data":
        source = tf.data.Dataset.from_tensor_slices((images, labels)).cache()
        source = source.shuffle(job["images"]).batch(job["batch"]).prefetch(tf.data.AUTOTUNE)
        arguments: dict = {"x": source}
    else:
        arguments = {"x": images, "y": labels, "batch_size": job["batch"]}
    rates: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            rates.append(job["images"] / (time.perf_counter() - self.start))

    model.fit(**arguments, epochs=job["epochs"], verbose=0, callbacks=[Clock()])
    return rates[1:]


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    result = {
        "rates": timed(asked, asked["settings"]),
        "versions": {"keras": keras.__version__, "tensorflow": tf.__version__},
    }
    print(json.dumps(result))
