"""A finished study on disk, made of numbers instead of training: for tests of reports."""

import zlib
from pathlib import Path

import numpy as np

from tinyscope.data.dataset import ImageDataset, LeftOut, Splits
from tinyscope.plan.study import Study
from tinyscope.runs.run import Predictions, Run

ENVIRONMENT = {
    "cpu": "Example CPU",
    "cores": 2,
    "threads": 2,
    "torch": "2.13.0",
    "precision": "fp32",
    "os": "Linux",
    "python": "3.11.9",
    "tinyscope": "0.1.0",
}


def make_splits(
    class_names: tuple[str, ...],
    *,
    per_class: tuple[int, int, int] = (12, 4, 10),
    validation: bool = True,
    size: int = 8,
    left_out: tuple[LeftOut, ...] = (),
) -> Splits:
    """Grey pictures whose brightness tells their class, in three balanced splits."""

    def part(split: str, count: int, missing: tuple[LeftOut, ...] = ()) -> ImageDataset:
        labels = np.repeat(np.arange(len(class_names)), count)
        labels = np.random.default_rng(count).permutation(labels)
        shades = (labels * (255 // len(class_names))).astype(np.uint8)
        images = np.broadcast_to(shades[:, None, None, None], (len(labels), size, size, 3)).copy()
        return ImageDataset(images, labels, class_names, split, "shades", missing)

    train, val, test = per_class
    return Splits(
        "shades",
        part("train", train, left_out),
        part("validation", val) if validation else None,
        part("test", test),
    )


def make_logits(labels: np.ndarray, classes: int, *, accuracy: float, seed: int) -> np.ndarray:
    """float32 (N, K): about `accuracy` of the rows have their maximum at the label."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(len(labels), classes))
    miss = draw.random(len(labels)) > accuracy
    # Mistakes go to the next class, so that some pairs are confused more often than others.
    target = np.where(miss, (labels + 1) % classes, labels)
    logits[np.arange(len(labels)), target] += 3 + draw.gamma(2.0, 1.5, len(labels))
    return logits.astype(np.float32)


def make_run(
    folder: Path,
    study: Study,
    splits: Splits,
    variation: str,
    seed: int,
    *,
    accuracy: float,
    parameters: int = 1000,
    epochs: int = 4,
    seconds: float = 2.0,
) -> Run:
    """A finished run with the given accuracy, written and read like a trained one."""
    name = f"{variation}-{seed}"
    run = Run(
        folder=folder / name,
        variation=variation,
        seed=seed,
        recipe=study.recipes()[variation],
        identity=f"{zlib.crc32(name.encode()):08x}",
        data={"name": splits.name, "fingerprint": splits.fingerprint},
        environment=ENVIRONMENT,
        parameters=parameters,
    )
    run.write_start()
    classes = len(splits.train.class_names)
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    rows = []
    for epoch in range(1, epochs + 1):
        share = accuracy * (1 - 0.6 * np.exp(-3.5 * epoch / epochs)) + draw.normal(0, 0.008)
        rows.append(
            {
                "epoch": epoch,
                "learning_rate": 0.1,
                "train_loss": 2.3 * np.exp(-2.6 * epoch / epochs) + 0.05,
                "train_accuracy": min(1.0, share * 1.04),
                "val_loss": 2.3 * (1.03 - share) if splits.validation else "",
                "val_accuracy": share if splits.validation else "",
                "seconds": seconds / epochs,
                "cpu_seconds": 1.5 * seconds / epochs,
                "images_per_second": len(splits.train) * epochs / seconds,
            }
        )
    run.write_history(rows)
    one_view = {}
    for part in splits.parts()[1:]:
        logits = make_logits(
            part.labels, classes, accuracy=accuracy, seed=zlib.crc32(f"{name}{part.split}".encode())
        )
        run.write_predictions(part.split, Predictions(logits, part.labels))
        one_view[part.split] = accuracy - 0.01 * seed
    assert splits.test is not None
    openings = run.open_test_split(len(splits.test), "final evaluation")
    run.write_result(
        {
            "epochs_run": epochs,
            "best_epoch": epochs - 1 if splits.validation else None,
            "stopped": "all epochs",
            "val_accuracy": accuracy if splits.validation else None,
            "one_view_accuracy": one_view,
            "train_seconds": seconds,
            "train_cpu_seconds": 1.5 * seconds,
            "train_flop": parameters * 10**9,
            "images_per_second": len(splits.train) * epochs / seconds,
            **openings,
        }
    )
    return run


def make_study(**changes: object) -> Study:
    """A study of the three variations "base", "smooth" and "resnet"."""
    values: dict[str, object] = {
        "name": "shades",
        "question": "Which network tells shades apart?",
        "data": "shades",
        "recipe": "compact",
        "variations": {"smooth": {"label_smoothing": 0.2}, "resnet": {"model": "resnet-20"}},
        "seeds": (0, 1, 2),
    }
    return Study(**(values | changes))
