"""What commands take: texts and paths that are not empty, and the options of a study."""

from pathlib import Path
from typing import Any

import click

from tinyscope.files import path_of


class _Text(click.ParamType):
    """Text that says something: an empty one is a shell's variable that was never set."""

    name = "text"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The text as it is."""
        if value == "":
            self.fail("it is empty", param, ctx)
        return value


class _PathText(click.Path):
    """A path; an empty one is refused, which would stand for the current folder.

    A leading ~ is the home folder, also behind "--out=", where no shell replaces it. "-" is refused
    as well: it would be a file or folder of that name, and no stream.
    """

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The path."""
        if value == "-":
            self.fail("- is no stream here; expected a path, or ./- for one called so", param, ctx)
        return super().convert(path_of(TEXT.convert(value, param, ctx)), param, ctx)


TEXT = _Text()
"""Of an option or argument."""
PATH = _PathText(path_type=Path)
"""Likewise, as a `Path`."""


def study_options(function: Any) -> Any:
    """Gives a command what commands that carry out a study have in common."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead."),
        click.option(
            "--out",
            type=PATH,
            help="The study's folder  [default: tinyscope-runs/STUDY]",
        ),
        click.option("--budget", type=TEXT, help="Cut the study to this time, about: 90s, 10m."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="A recipe key for every variation, or validation, size, split_seed, review, base.",
        ),
        click.option(
            "--only",
            multiple=True,
            metavar="VARIATION",
            help="Run this variation of the study; again for several.",
        ),
        click.option("--seeds", help="How many seeds, or which: 3, or 0,5,7."),
    ):
        function = option(function)
    return function
