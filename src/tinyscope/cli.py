"""The command line: parses, calls the package, prints; heavy imports wait until needed."""

import io
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyscope import __version__
from tinyscope.command_parameters import PATH, TEXT, study_options
from tinyscope.errors import DataError, InputError, TinyscopeError, unknown
from tinyscope.terminal import shown
from tinyscope.threads import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyscope.sweep.listener import Listener
    from tinyscope.sweep.outcome import StudyResult

_INTERRUPTED = 130
_RESUMED = (["run"], ["demo"], ["improve"])


def main() -> None:
    """Runs the command line and exits with its status; users' mistakes are one line."""
    prepare()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe on Windows takes few letters
            stream.reconfigure(errors="backslashreplace")
    try:
        # Patterns are the photos' own affair, on Windows too: "img[1].png" may be a file.
        status = commands(standalone_mode=False, windows_expand_args=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(2)
    except click.ClickException as error:
        _complain(" ".join(error.format_message().split()))
        sys.exit(2)
    except TinyscopeError as error:
        _complain(str(error))
        sys.exit(error.exit_status)
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__context__, EOFError):  # click takes any for the end of its input
            raise error.__context__ from None
        kept = " What is finished is kept; the same command goes on from there."
        _complain("Interrupted." + kept * (sys.argv[1:2] in _RESUMED))
        sys.exit(_INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _complain(line: str) -> None:
    print(shown(f"Error: {line}"), file=sys.stderr)


def _say(line: str) -> None:
    print(shown(line), flush=True)


class _Commands(click.Group):
    """The commands; a name that is none is answered as any unknown name is."""

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        """The command that is asked for."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise InputError(unknown("command", name, self.commands, see="tinyscope --help"))
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tinyscope")
def commands() -> None:
    """Train, compare, explain and ship small-image classifiers on the computer you have."""


@commands.command()
@click.argument("study")
@click.option("--data", type=TEXT, help="A data set's name or path, instead of the study's own.")
@study_options
def run(study: str, data: str | None, **options: Any) -> None:
    """Train and compare what STUDY asks for, and write the report.

    STUDY is a name of "tinyscope list studies" or a .toml file. Asked again, the same command keeps
    what is finished and goes on with the rest.
    """
    _run(study, data, **options)


@commands.command()
@study_options
def demo(**options: Any) -> None:
    """Run the study "demo" on the handwritten digits that come along."""
    _run("demo", None, **options)


def _run(
    name: str,
    data: str | None,
    *,
    seeds: str | None,
    only: tuple[str, ...],
    settings: tuple[str, ...],
    budget: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    from tinyscope.study_options import seconds_of, study_of

    allowed = seconds_of(budget) if budget else None
    study = study_of(name, data=data, seeds=seeds, only=only, settings=settings)
    from tinyscope.sweep.local import run_study

    result = _watched(lambda listener: run_study(study, out=out, budget=allowed, listener=listener))
    if as_json:
        print(json.dumps(result.as_dict(), indent=1))
    else:
        _print_result(result)


def _watched(work: "Callable[[Listener], StudyResult]") -> "StudyResult":
    """What comes of the work, which is shown while it goes on."""
    from tinyscope.console import LiveProgress, PlainProgress

    if not sys.stderr.isatty():
        return work(PlainProgress())
    with LiveProgress() as progress:
        return work(progress)


@commands.command()
@click.argument("folder", type=PATH)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="How many, one after another.",
)
@click.option(
    "--data", type=TEXT, help="Where the study's images are, if they are no longer where it says."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def improve(folder: Path, steps: int, data: str | None, as_json: bool) -> None:
    """Carry out the first suggestions of the report of the finished study in FOLDER.

    Each is run as a variation on the same data with the same seeds, and the report is written anew
    with what it has brought. A step starts from what validation recommends then. Asked again, it
    goes on with the next suggestions.
    """
    from tinyscope.sweep.improve import improve

    result = _watched(lambda listener: improve(folder, steps=steps, data=data, listener=listener))
    made = result.summary["improvements"]
    if as_json:
        print(json.dumps({**result.as_dict(), "improvements": made}, indent=1))
        return
    for one in made:
        low, high = (100 * end for end in one["interval"])
        _say(
            f"{one['variation']}, from {one['from']}: {one['suggestion']}. Validation "
            f"{100 * one['val_gain']:+.1f} points ({low:+.1f} to {high:+.1f}), {one['verdict']} "
            f"(p = {one['adjusted_p_value']:.2g}, adjusted over all pairs of variations); "
            f"test {100 * one['test_gain']:+.1f}"
        )
    _print_result(result)


def _print_result(result: "StudyResult") -> None:
    chosen = result.summary["recommended"]
    _say(f"{result.verdict}: {chosen['variation']} ({chosen['model']})")
    _say(result.tested)
    _say(f"Report: {result.folder / 'report.html'}")


@commands.command()
@click.argument("data", type=TEXT)
@click.option(
    "--out",
    type=PATH,
    help="The folder of the page and the contact sheets  [default: tinyscope-data/DATA]",
)
@click.option(
    "--write-review",
    "review",
    type=PATH,
    help="Also list what could be excluded or relabelled in a table that can be edited (.csv).",
)
@click.option("--size", type=int, help="The side in pixels that images are brought to.")
@click.option("--no-training", is_flag=True, help="Leave out the checks that train a model.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def data(
    data: str,
    out: Path | None,
    review: Path | None,
    size: int | None,
    no_training: bool,
    as_json: bool,
) -> None:
    """Explore and check the images of DATA before anything is learnt from them.

    DATA is a name of "tinyscope list datasets" or a path. "tinyscope list checks" says what is
    looked for. Nothing of DATA is changed.
    """
    from tinyscope.console import PlainProgress
    from tinyscope.data.catalogue import load
    from tinyscope.data.earlier_review import EarlierReview, rows_before
    from tinyscope.data.file_tree import lies_among
    from tinyscope.data.hub_parquet import holds_shards
    from tinyscope.files import path_of
    from tinyscope.inspection.inspection import inspect
    from tinyscope.inspection.own_files import refuse_foreign

    place = path_of(data)
    among = out is not None and os.path.isdir(place) and lies_among(out, place)
    if among and not holds_shards(place):  # beside shards nothing is taken for an image
        raise InputError(
            f"--out {out} lies in {data}, where the pictures of the page would be taken for "
            "images; expected a folder outside of it."
        )
    if review is not None:
        rows_before(review)  # what it would destroy is told before anything is computed
    progress = PlainProgress()
    with progress.loading(data):
        images = load(data, size=size, trainable=False)
    if out is None and images.name in ("", ".", ".."):
        raise InputError(
            f'The name of {data}, "{images.name}", names no folder below tinyscope-data; give '
            "one with --out."
        )
    folder = (out or Path("tinyscope-data") / images.name).resolve()
    refuse_foreign(folder)  # before an hour of looking, as the review's is
    if review is not None:
        EarlierReview(review, images)
    inspection = inspect(images, origin=data, training=not no_training, on_stage=progress.say)
    page = inspection.write(folder)
    reviewed = inspection.write_review(review) if review is not None else None
    if as_json:
        said = {**inspection.as_dict(), "out": str(folder), "page": str(page)}
        if review is not None and reviewed is not None:
            said["review"] = {"file": str(review.resolve()), **reviewed._asdict()}
        print(json.dumps(said, indent=1))
        return
    for line in inspection.lines():
        _say(line)
    if review is not None:
        _say(f"Review: {review.resolve()} ({reviewed})")
    _say(f"Page: {page}")


@commands.command(name="list")
@click.argument(
    "kind",
    type=click.Choice(["studies", "recipes", "models", "backbones", "datasets", "checks", "runs"]),
)
@click.argument("folder", required=False, type=PATH)
def list_(kind: str, folder: Path | None) -> None:
    """List studies, recipes, models, backbones, datasets, checks, or the runs below FOLDER."""
    from tinyscope import listings

    if folder is not None and kind != "runs":
        raise InputError(f'"tinyscope list {kind}" takes no folder.')
    for line in listings.runs(folder) if kind == "runs" else getattr(listings, kind)():
        _say(line)


@commands.command()
@click.argument("folder", type=PATH)
@click.option("-o", "output", type=PATH, help="Where to write the page.")
def report(folder: Path, output: Path | None) -> None:
    """Write the report page of the finished study in FOLDER anew."""
    from tinyscope.sweep.outcome import read_study

    path = read_study(folder).report(output or folder / "report.html")
    _say(f"Report: {path.resolve()}")


@commands.command()
@click.argument("model", type=PATH)
@click.argument("images", nargs=-1, required=True, type=TEXT)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Classes to name for each image.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead.")
@click.option("--csv", type=PATH, metavar="F", help="Write a table with a row for each image.")
@click.option("--parquet", type=PATH, metavar="F", help="Write the same table as parquet.")
@click.option("--kaggle", type=PATH, metavar="F", help="Write a Kaggle submission: id,label.")
@click.option(
    "--kaggle-columns", "columns", metavar="ID,LABEL", help="Its headings  [default: id,label]"
)
def predict(
    model: Path,
    images: tuple[str, ...],
    top: int,
    as_json: bool,
    columns: str | None,
    **files: Path | None,
) -> int:
    """Say what is on IMAGES: files, folders, patterns, zip files, parquet files of images.

    MODEL is a model, run or study folder. What is in a folder or a zip file comes in natural order:
    2.png before 10.png. An id for Kaggle is a file's name without its suffix. Images that cannot be
    read are named, and the exit status is 3; a Kaggle file is then not written at all.
    """
    from tinyscope.files import path_of
    from tinyscope.shipping.answer_files import KAGGLE_COLUMNS, AnswerFiles, answers
    from tinyscope.shipping.classifier import load_classifier
    from tinyscope.shipping.photos import find_photos

    if columns is not None and files["kaggle"] is None:
        raise InputError("--kaggle-columns names the headings of a file that only --kaggle writes.")
    for path in filter(None, files.values()):
        if any(os.path.realpath(path) == os.path.realpath(path_of(each)) for each in images):
            raise InputError(f"{path} is given as images; what is written would replace them.")
    headings = KAGGLE_COLUMNS if columns is None else _headings(columns)
    classifier = load_classifier(model)
    count = failed = 0
    rows = []
    with AnswerFiles(classifier.class_names, kaggle_columns=headings, **files) as written:
        every = len(classifier.class_names) if written.paths else top
        for answer in answers(classifier, find_photos(images), top=every):
            written.add(answer)
            prediction = answer.prediction
            count += 1
            failed += prediction.error is not None
            if as_json:
                rows.append(replace(prediction, top=prediction.top[:top]).as_dict())
            elif prediction.error is not None:
                print(shown(f"{prediction.file}: {prediction.error}"), file=sys.stderr)
            elif not written.paths:
                shares = "  ".join(f"{name} {share:.1%}" for name, share in prediction.top)
                _say(f"{prediction.file}: {shares}")
    without = f", {failed:,} of them without an answer" if failed else ""
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        for path in written.paths:
            _say(f"{path.resolve()}: {count:,} images{without}")
    if written.not_written:
        raise DataError(written.not_written)
    return 3 if failed else 0


def _headings(text: str) -> tuple[str, str]:
    names = [part.strip() for part in text.split(",")]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise InputError(f'--kaggle-columns "{text}" is not two names, such as id,label.')
    return names[0], names[1]


@commands.command()
def doctor() -> None:
    """Show versions, device, threads and precision, and say what is missing."""
    from tinyscope import listings

    for line in listings.doctor():
        _say(line)
