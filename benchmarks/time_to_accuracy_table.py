"""The Markdown table of time_to_accuracy.py, made from its figures.json alone."""

from statistics import fmean
from typing import Any

from tinyscope.evaluation.intervals import student

HEAD = ("training", "parameters", "PFLOP", "wall s", "CPU s", "GFLOP/s", "test, its views")
HEAD += ("test, one view",)
SOONER = ("times sooner, wall", "times sooner, CPU")


def table(content: dict[str, Any]) -> str:
    """The rows of every recipe and of the yardstick, and below them what the figures rest on."""
    yardstick = content["yardstick"]
    head = HEAD + SOONER if yardstick else HEAD
    rows = [list(head), ["---"] * len(head)]
    rows += [_row(each, yardstick) for each in content["recipes"]]
    if yardstick:
        rows.append(_yardstick_row(yardstick))
    lines = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"{lines}\n\n{' '.join(_notes(content))}\n"


def _row(recipe: dict[str, Any], yardstick: dict[str, Any] | None) -> list[str]:
    runs = recipe["runs"]
    wall = [run["train_seconds"] for run in runs]
    cpu = [run["train_cpu_seconds"] for run in runs]
    flop = [run["train_flop"] for run in runs]
    with_views = _accuracy([run["test_accuracy"] for run in runs])
    row = [
        recipe["recipe"],
        f"{recipe['parameters']:,}",
        _petaflop(fmean(flop)),
        _spread(wall),
        _spread(cpu),
        _rate(sum(flop), sum(wall)),
        f"{with_views}; {recipe['views']} views" if recipe["views"] > 1 else "–",
        _accuracy([run["one_view_accuracy"] for run in runs]),
    ]
    if yardstick:
        row.append(_sooner(yardstick["train_seconds"], wall))
        row.append(_sooner(yardstick["train_cpu_seconds"], cpu))
    return row


def _yardstick_row(yardstick: dict[str, Any]) -> list[str]:
    seconds, cpu = yardstick["train_seconds"], yardstick["train_cpu_seconds"]
    return [
        "Keras yardstick",
        f"{yardstick['parameters']:,}",
        _petaflop(yardstick["train_flop"]),
        _seconds(seconds),
        _seconds(cpu),
        _rate(yardstick["train_flop"], seconds),
        "–",
        f"{yardstick['test_accuracy']:.2%}",
        "1",
        "1",
    ]


def _notes(content: dict[str, Any]) -> list[str]:
    data, recipes, yardstick = content["data"], content["recipes"], content["yardstick"]
    seeds = max(len(each["runs"]) for each in recipes)
    machine = content["machine"]
    runs = [run for each in recipes for run in each["runs"]]
    trained = sorted(run["trained"] for run in runs)
    opened = max(run["test_openings"] for run in runs)
    ended_early = sum(run["stopped"] != "all epochs" for run in runs)
    precisions = sorted({each["precision"] for each in recipes})
    notes = [
        f"{data['name']}: trained on all {data['train']:,} training images, without validation; "
        f"{data['test']:,} test images, opened "
        f"{'once a run' if opened == 1 else f'up to {opened} times a run'}.",
        f"Recipes: {seeds} seeds; means, in brackets the lowest and the highest seconds, and 95% "
        "over seeds (Student) of accuracies."
        if seeds > 1
        else "Recipes: one seed, so that the spread from training to training is not known.",
        "Seconds are of training alone, from images in memory to the last step, their statistics "
        "and first filters included; without reading them and evaluation. CPU seconds add up all "
        "threads. "
        "PFLOP by formula: convolutions, dense layers and Muon's products, forward and backward, a "
        "multiplication and an addition being two; nothing elementwise. GFLOP/s: these over wall "
        "seconds.",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{' and '.join(precisions)} on {_device(machine)}; tinyscope "
        f"{machine['tinyscope']}, torch {machine['torch']}, Python {machine['python']}. The runs "
        f"ended {_moment(trained[0])} to {_moment(trained[-1])} UTC.",
    ]
    if ended_early:
        notes.append(f"{ended_early} of {len(runs)} runs ended before their last epoch.")
    if yardstick is None:
        return [*notes, "Keras yardstick: not measured."]
    versions = yardstick["versions"]
    notes.append(
        f"Keras yardstick: {yardstick['network']} of the published reports, {yardstick['epochs']} "
        f"epochs of batches of {yardstick['batch']}, SGD with rate {yardstick['learning_rate']:g} "
        f"and momentum {yardstick['momentum']:g}, {yardstick['policy']}, "
        f"{'with' if yardstick['jit_compile'] else 'without'} XLA as Keras chooses by itself; "
        f"trained once, {_moment(yardstick['started'])} to {_moment(yardstick['finished'])} UTC "
        f"on the same machine; Keras {versions['keras']}, TensorFlow {versions['tensorflow']}."
    )
    return notes


def _device(machine: dict[str, Any]) -> str:
    return (
        "cpu" if machine["device"] == "cpu" else f"{machine['device']} ({machine['device_name']})"
    )


def _sooner(seconds: float, taken: list[float]) -> str:
    return f"{seconds / fmean(taken):.1f}" if any(taken) else "–"


def _accuracy(shares: list[float]) -> str:
    interval = student(shares)
    mean = f"{fmean(shares):.2%}"
    return f"{mean} ({interval.low:.2%} to {interval.high:.2%})" if interval else mean


def _spread(seconds: list[float]) -> str:
    mean = _seconds(fmean(seconds))
    if len(seconds) == 1:
        return mean
    return f"{mean} ({_seconds(min(seconds))} to {_seconds(max(seconds))})"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.1f}"


def _petaflop(flop: float) -> str:
    return f"{flop / 1e15:.3g}"


def _rate(flop: float, seconds: float) -> str:
    return f"{flop / seconds / 1e9:.0f}" if seconds else "–"


def _moment(time: str) -> str:
    return f"{time[:10]} {time[11:16]}"
