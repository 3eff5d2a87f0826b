"""One run: from its first weights to its result, its answers for all splits included."""

from functools import partial

import numpy as np
from torch import nn

from tinyscope.data.batches import Batches
from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.evaluation.metrics import accuracy
from tinyscope.evaluation.predict import as_array, predict_logits
from tinyscope.models.views import with_views
from tinyscope.runs.run import Predictions, Run
from tinyscope.shipping.model_folder import save_model
from tinyscope.sweep.beginnings import Beginning
from tinyscope.sweep.frozen import train_frozen
from tinyscope.sweep.listener import Listener
from tinyscope.training import machine
from tinyscope.training.material import images_of
from tinyscope.training.trainer import Row, train


def carry_out(run: Run, data: Splits, start: Beginning, hears: Listener) -> None:
    """Trains one run, then lets it answer for the validation and, once, for the test images."""
    run.write_start()
    checkpoint = run.folder / "checkpoint.safetensors"

    def epoch(row: Row) -> None:
        run.add_epoch(row)
        hears.epoch(run, row)

    if start.frozen:
        done = train_frozen(
            start,
            seed=run.seed,
            checkpoint=checkpoint,
            on_epoch=epoch,
            on_step=hears.step,
            on_features=hears.features,
        )
        trained, logits_of = done.trained, done.answer
    else:
        trained = train(
            images_of(data, machine.device(), begin=lambda recipe: start.network()),
            run.recipe,
            seed=run.seed,
            checkpoint=checkpoint,
            on_epoch=epoch,
            on_step=hears.step,
        )
        logits_of = partial(_logits, trained.network, run.recipe.precision)
    run.write_history(trained.history)

    def answers(part: ImageDataset) -> tuple[Predictions, float]:
        """What the model answers, and how often its first view alone would be right."""
        views = run.recipe.test_views
        once = logits_of(part, "one")
        logits = once if views == "one" else logits_of(part, views)
        return Predictions(logits, part.labels), accuracy(once.argmax(1), part.labels)

    learnt_from = len(data.train)
    if run.recipe.refit and data.validation is not None:
        learnt_from += len(data.validation)
    val_accuracy, one_view = None, {}
    if data.validation is not None:
        answered, one_view["validation"] = answers(data.validation)
        run.write_predictions("validation", answered)
        val_accuracy = accuracy(answered.logits.argmax(1), answered.labels)
    assert data.test is not None  # splitting.complete cuts one where there is none
    openings = run.open_test_split(len(data.test), "evaluation of the finished run")
    answered, one_view["test"] = answers(data.test)
    run.write_predictions("test", answered)
    save_model(
        run.folder,
        trained.network,
        recipe=run.recipe,
        class_names=data.train.class_names,
        preprocessing=data.train.preprocessing,
        card={
            "run": run.name,
            "data": data.name,
            "seed": run.seed,
            "training_images": learnt_from,
            "val_accuracy": val_accuracy,
            "recipe": run.recipe.as_dict(),
        },
        transfer=start.description or None,
    )
    seconds = sum(row["seconds"] for row in trained.history)
    images = learnt_from * len(trained.history)
    run.write_result(
        {
            "epochs_run": len(trained.history),
            "best_epoch": trained.best_epoch,
            "stopped": trained.stopped,
            "val_accuracy": val_accuracy,
            "one_view_accuracy": one_view,
            "train_seconds": round(seconds, 3),
            "train_cpu_seconds": round(sum(row["cpu_seconds"] for row in trained.history), 3),
            "train_flop": trained.flop,
            "images_per_second": round(images / seconds, 1) if seconds else 0.0,
            **openings,
        }
    )
    checkpoint.unlink(missing_ok=True)


def _logits(network: nn.Module, precision: str, part: ImageDataset, views: str) -> np.ndarray:
    batches = Batches(part, device=machine.device())
    return as_array(predict_logits(with_views(network, views), batches, precision=precision))
