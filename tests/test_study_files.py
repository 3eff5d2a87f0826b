from pathlib import Path

import pytest

from tinyscope.errors import InputError
from tinyscope.models import zoo
from tinyscope.models.recipe_faults import JUDGES
from tinyscope.plan.published_figures import built_in_tables
from tinyscope.plan.recipe_book import RECIPES
from tinyscope.plan.study import Study
from tinyscope.plan.study_files import built_in, load_study, parse

ANY_LAYER = (
    "Expected one of: conv 32 3x3 [stride 2] same|valid [batchnorm] [relu], dense 512 [batchnorm] "
    "[relu], maxpool 2, avgpool 2, globalpool, batchnorm, relu, dropout 0.25, flatten."
)


def told(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(text, name="s", file="s.toml", judges=JUDGES)
    return str(caught.value)


def test_a_study_file_is_read_and_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "smooth or not.toml"
    path.write_text(
        'question = "Größer?"\nrecipe = "compact"\nseeds = 2\n'
        "[variations.smooth]\nlabel_smoothing = 0.2\n[grid]\nlearning_rate = [0.5, 1.0]\n",
        encoding="utf-8",
    )
    study = load_study(path)
    assert study == load_study(str(path))
    assert (study.name, study.question, study.seeds) == ("smooth or not", "Größer?", (0, 1))
    assert list(study.recipes()) == ["base", "smooth", "learning_rate=0.5", "learning_rate=1.0"]


def test_a_file_that_begins_with_a_byte_order_mark_or_has_windows_line_ends_is_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b'\xef\xbb\xbfquestion = "Why?"\r\nseeds = 1\r\n')
    assert load_study(path) == Study(name="a", question="Why?", seeds=(0,))


def test_an_unknown_study_is_told_with_the_nearest_name() -> None:
    with pytest.raises(InputError) as caught:
        load_study("quick-start")
    assert str(caught.value) == (
        'Unknown study "quick-start". Did you mean "quickstart"? '
        f'Run "tinyscope list studies" to see all {len(built_in())}.'
    )


def test_a_file_of_another_kind_is_told_what_a_study_file_is_called(tmp_path: Path) -> None:
    path = tmp_path / "zzzzzzzzzzzzzzzz.yaml"
    path.write_text("a: b")
    with pytest.raises(InputError) as caught:
        load_study(path)
    count = len(built_in())
    assert str(caught.value) == (
        f'Unknown study "{path}". Expected one of {count} names. '
        f'Run "tinyscope list studies" to see all {count}. A study file\'s name ends in .toml.'
    )


def test_a_study_file_that_is_not_there_is_told_with_the_nearest_one_beside_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "smooth.toml").write_text("")
    (tmp_path / "other.txt").write_text("")
    with pytest.raises(InputError) as caught:
        load_study(tmp_path / "smoth.toml")
    assert str(caught.value) == (
        f"There is no study file {tmp_path / 'smoth.toml'}. Did you mean "
        f"{tmp_path / 'smooth.toml'}? "
        'Run "tinyscope list studies" to see those that come along.'
    )


def test_a_built_in_study_with_an_ending_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "demos.toml").write_text("")
    with pytest.raises(InputError) as caught:
        load_study(tmp_path / "demo.toml")
    assert str(caught.value) == (
        f'There is no study file {tmp_path / "demo.toml"}. Did you mean "demo", which comes '
        'along? Run "tinyscope list studies" to see those that come along.'
    )


def test_a_study_file_in_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_study(tmp_path / "no" / "a.toml")
    assert str(caught.value) == (
        f"There is no study file {tmp_path / 'no' / 'a.toml'}. "
        'Run "tinyscope list studies" to see those that come along.'
    )


def test_a_folder_is_no_study_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").mkdir()
    with pytest.raises(InputError) as caught:
        load_study(tmp_path / "a.toml")
    assert str(caught.value) == f"{tmp_path / 'a.toml'} is a folder; expected a study file."


def test_a_file_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b'question = "Gr\xf6\xdfer?"\n')
    with pytest.raises(InputError) as caught:
        load_study(path)
    assert str(caught.value) == (
        f"{path} cannot be read as UTF-8 text: 'utf-8' codec can't decode byte 0xf6 in position "
        "14: invalid start byte."
    )


def test_a_file_that_is_no_toml_is_told_with_the_place() -> None:
    assert told('question = "a"\nseeds 3\n') == (
        "s.toml is not TOML: Expected '=' after a key in a key/value pair (at line 2, column 7)."
    )


def test_a_text_without_quotes_is_told_that_texts_stand_in_quotes() -> None:
    assert told("[overrides]\nschedule = cosine\n") == (
        's.toml is not TOML: Invalid value (at line 2, column 12). Texts stand in quotes: "cosine".'
    )


@pytest.mark.parametrize(
    "table", ["[variations.a]\nepochs = 3", "[overrides]", "[grid]", "[published]"]
)
@pytest.mark.parametrize("line", ["seeds = 3", 'data = "digits"', "validation = 0.2"])
def test_a_study_key_below_a_table_is_told_to_stand_above_it(table: str, line: str) -> None:
    key = line.split()[0]
    assert told(f"{table}\n{line}\n") == (
        f"s.toml:{2 + table.count(chr(10))}: {key} is a key of the study, which stands above the "
        "first [table]."
    )


def test_a_table_of_the_study_within_a_variation_is_told_to_stand_by_itself() -> None:
    assert told("[variations.a.grid]\nepochs = [1, 2]\n") == (
        "s.toml:1: grid is a table of the study, which is written [grid]."
    )


def test_a_table_of_the_base_is_told_where_its_keys_stand() -> None:
    assert told("[base]\nepochs = 3\nseeds = 1\n") == (
        "s.toml:1: base is true or false, and no table: recipe keys of all variations stand below "
        "[overrides], keys of the study above the first [table]."
    )


EIGHT_FAULTS = """\
# seeds = 0        an "=" in a comment is no key
questoin = "Why [x] = y?"   # [grid] is no header here
'seeds' = 0
validation = 1.5  # = 2

[ variations . "lr=0.5" ]  # [x]
epochs = "ten"
"learning_rate" = -1
[variations]
other.optimizer = "addam"
inline = { shift = 1, momentum = "=" }
[grid]
batch_size = [
  32,  # seeds = 1
  0,
]
"""


def test_eight_faults_of_different_kinds_are_told_at_once_with_their_lines() -> None:
    assert told(EIGHT_FAULTS) == " ".join(
        [
            's.toml:2: Unknown study key "questoin". Did you mean "question"? The keys are '
            "question, data, recipe, base, validation, split_seed, size, review, "
            "published_source, published_tables, seeds, only, variations, grid, overrides, "
            "published.",
            "s.toml:3: seeds = 0 is neither a count from 1 to 1000 nor a list of different whole "
            "numbers from 0.",
            "s.toml:4: validation = 1.5 is out of range: at least 0, below 1.",
            's.toml:7: epochs = "ten" is not a whole number.',
            "s.toml:8: learning_rate = -1 is out of range: at least 0.",
            's.toml:10: optimizer = "addam" is none of "sgd", "rmsprop", "adam", "adamw", '
            '"muon". Did you mean "adam"?',
            's.toml:11: momentum = "=" is not a number.',
            "s.toml:13: batch_size = 0 is out of range: at least 1, at most 65536.",
        ]
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n\nseeds = 0", 3),
        ('question = """\nseeds = 1\n[grid]\n"""\nseeds = 0', 5),
        ("question = '''\nseeds = 1'''\nseeds = 0", 3),
        ('question = "a\u2028b\u0085c"\nseeds = 0', 2),
        ("# a\x0bb\nseeds = 0".replace("\x0b", "\u2029"), 2),
        ('question = "a"\r\nseeds = 0\r\n', 2),
        ('data = "a" # """\nseeds = 0', 2),
        ('"see\\u0064s" = 0', 1),
        ("\tseeds=0", 1),
        ("# one\nseeds = [\n  1,\n  # seeds = 0\n  1,\n]", 2),
    ],
)
def test_the_line_of_a_fault_is_right_whatever_stands_before_it(text: str, line: int) -> None:
    assert told(text).startswith(f"s.toml:{line}: seeds = ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[variations.a]\nshift = 1\n[variations.a-b]\n[variations."x/y"]\nshift = 0',
            's.toml:4: "x/y" cannot name a variation: expected at most 80 letters, digits and '
            '" ._=,+-", a letter or digit first, and not "base".',
        ),
        (
            "[variations.base]",
            's.toml:1: "base" cannot name a variation: expected at most 80 letters, digits and '
            '" ._=,+-", a letter or digit first, and not "base".',
        ),
        ("\n[[variations]]\nshift = 1\n[[variations]]", "s.toml:2: variations is not a table."),
        (
            "[variations]\nshift = 1",
            "s.toml:2: variations.shift is not a table of recipe keys.",
        ),
        ("\n[grid.shift]\na = 1", "s.toml:2: grid.shift is not a list of values."),
        (
            "\n[published.base.b]\nx = 1",
            "s.toml:2: published.base.b is no published figure. The figures are test_accuracy, "
            "test_loss, val_accuracy, val_loss, train_accuracy, parameters, epochs, minutes, "
            "differs.",
        ),
        (
            "seeds = 1\nepochs = 5",
            "s.toml:2: epochs is a recipe key, which stands below [overrides] or "
            "[variations.NAME].",
        ),
        (
            'name = "other"',
            's.toml:1: Unknown study key "name". Did you mean "base"? The keys are question, data, '
            "recipe, base, validation, split_seed, size, review, published_source, "
            "published_tables, seeds, only, variations, grid, overrides, published.",
        ),
        (
            '[overrides]\nmodel = "resnet20"',
            's.toml:2: Unknown model "resnet20". Did you mean "resnet-20"? '
            f'Run "tinyscope list models" to see all {len(zoo.NAMES)}.',
        ),
        (
            '[grid]\nmodel = ["resnet-20", "compact"]',
            's.toml:2: Unknown model "compact". Did you mean "compact-cnn"? '
            f'Run "tinyscope list models" to see all {len(zoo.NAMES)}.',
        ),
        (
            "[overrides]\nepochs = 2024-01-01",
            "s.toml:2: epochs = 2024-01-01 is not a whole number.",
        ),
        (
            "[overrides]\nlayers = [2024-01-01]",
            's.toml:2: layers = ["2024-01-01"] is not a list of texts, such as '
            '["flatten", "dense 64 relu"].',
        ),
        ("base = false", "s.toml:1: base = false leaves nothing to run."),
        (
            'start_from = "base"',
            "s.toml:1: start_from stands below [variations.NAME].",
        ),
        (
            '[overrides]\nrecipe = "quick"',
            "s.toml:2: recipe is no recipe key; it stands below [variations.NAME].",
        ),
        (
            '[grid]\nstart_from = ["base"]',
            "s.toml:2: start_from is no recipe key; it stands below [variations.NAME].",
        ),
        (
            '[variations.a]\nepochs = 3\nrecipe = "quik"',
            's.toml:3: Unknown recipe "quik". Did you mean "quick"? '
            f'Run "tinyscope list recipes" to see all {len(RECIPES)}.',
        ),
        ("[variations.a]\n\nrecipe = 3", "s.toml:3: recipe = 3 is not a text."),
        ("[variations.a]\nstart_from = true", "s.toml:2: start_from = true is not a text."),
        (
            '[variations.first]\nepochs = 3\n[variations.b]\nstart_from = "frist"',
            's.toml:4: start_from = "frist" is the name of no variation of this study. Did you '
            'mean "first"?',
        ),
        (
            'base = false\n[variations.b]\nstart_from = "base"',
            's.toml:3: start_from = "base" is the name of no variation of this study.',
        ),
        (
            '[variations.b]\nstart_from = "b"',
            's.toml:2: start_from goes round in a circle: "b", then "b".',
        ),
        (
            '[variations.in]\nstart_from = "a"\n[variations.a]\nstart_from = "b"\n'
            '[variations.b]\nepochs = 1\nstart_from = "c"\n[variations.c]\nstart_from = "a"',
            's.toml:4: start_from goes round in a circle: "a", then "b", then "c", then "a".',
        ),
        (
            '[variations.b]\nstart_from = "base"\nmodel = "resnet-20"',
            's.toml:1: variation "b": start_from = "base" goes on with the same network, and model '
            "is not as there.",
        ),
        (
            '[variations.b]\nstart_from = "base"\nhead = ["batchnorm"]\n[overrides]\n'
            'model = "transfer"\nbackbone = "vgg16"',
            's.toml:1: variation "b": start_from = "base" goes on with the same network, and head '
            "is not as there.",
        ),
        (
            '[variations.b]\nstart_from = "base"\n[overrides]\nmodel = "transfer"\n'
            'backbone = "vgg16"\nclassifier = "random-forest"',
            's.toml:1: variation "b": start_from = "base" goes on training, and classifier = '
            '"random-forest" cannot.',
        ),
        (
            "[published.base]\nepochs = 3\ntest_acuracy = 0.5",
            "s.toml:3: published.base.test_acuracy is no published figure. Did you mean "
            '"test_accuracy"? The figures are test_accuracy, test_loss, val_accuracy, val_loss, '
            "train_accuracy, parameters, epochs, minutes, differs.",
        ),
        (
            "[published]\nbase = { test_accuracy = 61 }",
            "s.toml:2: published.base.test_accuracy = 61 is not an accuracy between 0 and 1.",
        ),
        (
            "[published.base]\ntest_loss = nan\n[published.bse]\nval_loss = -1\nminutes = 0\n"
            'parameters = 1.5\nepochs = true\ndiffers = "one"',
            "s.toml:2: published.base.test_loss = nan is not a loss of 0 or more. "
            "s.toml:3: published.bse is the name of no variation of this study. Did you mean "
            '"base"? '
            "s.toml:4: published.bse.val_loss = -1 is not a loss of 0 or more. "
            "s.toml:5: published.bse.minutes = 0 is not a number above 0. "
            "s.toml:6: published.bse.parameters = 1.5 is not a whole number from 1. "
            "s.toml:7: published.bse.epochs = true is not a whole number from 1. "
            's.toml:8: published.bse.differs = "one" is not a list of sentences.',
        ),
        ("\npublished_tables = 3", "s.toml:2: published_tables = 3 is not a text."),
        (
            '\npublished_tables = "nowhere"',
            's.toml:2: published_tables = "nowhere" is neither a folder nor one of those that come '
            f"along: {', '.join(built_in_tables())}.",
        ),
        (
            'published_tables = "araujo"\n[variations.20-epochs]\nepochs = 3',
            "s.toml:1: "
            + " ".join(
                f'araujo/histories.csv:{line}: variation "5-epochs" is the name of no variation of '
                'this study. Did you mean "20-epochs"?'
                for line in (2, 3, 4)
            )
            + " araujo/histories.csv has 2 faults more.",
        ),
    ],
)
def test_a_fault_of_any_table_is_told_with_its_line(text: str, message: str) -> None:
    assert told(text) == message


LAYERS = 'model = "layer-stack"\nlayers = ["conv 8 3x3 same relu", '


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f'[variations.b]\n{LAYERS}"maxpol 2", "flatten", "dens 9"]',
            's.toml:3: variation "b": layers: layer 2 ("maxpol 2") is no layer. layer 4 ("dens 9") '
            f"is no layer. {ANY_LAYER}",
        ),
        (
            f'[overrides]\n{LAYERS}"dense 9"]',
            's.toml:3: layers: layer 2 ("dense 9"): "flatten" or "globalpool" has to come before '
            "it.",
        ),
        (
            '[variations.b]\nmodel = "transfer"\nbackbone = "vgg16"\nhead = ["dense 9", "conv"]',
            f's.toml:4: variation "b": head: layer 2 ("conv") is no layer. {ANY_LAYER}',
        ),
        (
            '[grid]\nlayers = [["dens 9"]]',
            "s.toml:2: grid.layers holds lists; write such values below [variations.NAME].",
        ),
    ],
)
def test_layers_that_no_image_could_pass_are_told_with_line_and_variation(
    text: str, message: str
) -> None:
    assert told(text) == message


def test_a_fault_of_one_variation_hides_no_contradiction_of_another() -> None:
    text = (
        'published_tables = "nowhere"\n[variations.a]\nepochs = "10"\nwarmup = 0.1\n'
        '[variations.b]\nalternating_flip = true\nstart_from = "a"\n'
        '[variations.c]\nstart_from = "nobody"\nschedule = "one-cycle"\n'
        f"[variations.d]\n{LAYERS}3]\n"
    )
    assert told(text) == " ".join(
        [
            's.toml:1: published_tables = "nowhere" is neither a folder nor one of those that come '
            f"along: {', '.join(built_in_tables())}.",
            's.toml:3: epochs = "10" is not a whole number.',
            's.toml:5: variation "b": alternating_flip = true needs horizontal_flip = true.',
            's.toml:8: variation "c": schedule = "one-cycle" needs a warmup between 0 and 1, such '
            "as 0.3.",
            's.toml:9: start_from = "nobody" is the name of no variation of this study.',
            's.toml:13: layers = ["conv 8 3x3 same relu", 3] is not a list of texts, such as '
            '["flatten", "dense 64 relu"].',
        ]
    )


@pytest.mark.parametrize(
    ("fault", "places"),
    [
        ('recipe = "nothing"\n', ["s.toml:1: Unknown recipe"]),
        ("overrides.horizontal_flip = 3\n", ["s.toml:1: horizontal_flip = 3"]),
        ("validation = 2\n", ["s.toml:1: validation = 2", 's.toml:2: variation "warm": warmup']),
    ],
)
def test_what_would_be_no_contradiction_without_another_fault_is_not_told(
    fault: str, places: list[str]
) -> None:
    # The right recipe or override could go with both; no share of validation with the first.
    message = told(
        f"{fault}[variations.warm]\nwarmup = 0.1\n[variations.watched]\nplateau_patience = 2\n"
    )
    assert message.count("s.toml:") == len(places)
    assert all(place in message for place in places)


def test_a_variation_with_a_recipe_of_its_own_is_judged_whatever_the_studys_is() -> None:
    text = 'recipe = "nothing"\n[variations.a]\nrecipe = "plain"\nwarmup = 0.1\n'
    assert told(text).endswith(
        ' s.toml:2: variation "a": warmup belongs to the schedules "linear", "cosine" and '
        '"one-cycle".'
    )


def test_names_of_variations_are_checked_whatever_is_wrong_with_their_values() -> None:
    text = 'only = ["b"]\n[variations.a]\nepochs = 0\n[published]\nc = 0.5\n'
    assert told(text) == (
        's.toml:1: only: "b" is the name of no variation of this study. They are base, a. '
        "s.toml:3: epochs = 0 is out of range: at least 1. "
        "s.toml:5: published.c is the name of no variation of this study."
    )


def test_contradictions_of_all_variations_are_told_with_their_lines() -> None:
    text = (
        'recipe = "plain"\n[variations.a]\nschedule = "one-cycle"\n'
        '[variations.fine]\nepochs = 3\n[variations.c]\nlayers = ["flatten"]\n'
        "[grid]\nwarmup = [0.5]\n[overrides]\nmomentum = 0\n"
    )
    assert told(text) == " ".join(
        [
            's.toml:2: variation "a": nesterov = true needs a momentum above 0.',
            's.toml:2: variation "a": schedule = "one-cycle" needs a warmup between 0 and 1, such '
            "as 0.3.",
            's.toml:4: variation "fine": nesterov = true needs a momentum above 0.',
            's.toml:6: variation "c": "layers" and model = "layer-stack" come together or not at '
            "all.",
            's.toml:6: variation "c": nesterov = true needs a momentum above 0.',
            's.toml:8: variation "warmup=0.5": nesterov = true needs a momentum above 0.',
            's.toml:8: variation "warmup=0.5": warmup belongs to the schedules "linear", "cosine" '
            'and "one-cycle".',
            's.toml:10: variation "base": nesterov = true needs a momentum above 0.',
        ]
    )


def test_a_study_that_asks_for_nothing_is_the_default_one() -> None:
    assert parse("", name="s", file="s.toml") == Study(name="s")


def test_models_are_not_judged_where_nobody_says_which_exist() -> None:
    study = parse('[overrides]\nmodel = "new"', name="s", file="s.toml")
    assert study.recipes()["base"].model == "new"


@pytest.mark.parametrize("text", [f"seeds = 1{'0' * 5000}", f"seeds = {'[' * 5000}"])
def test_what_python_cannot_hold_is_one_line(text: str) -> None:
    assert told(text).startswith("s.toml is no study file: ")


def test_a_published_figure_beyond_all_floats_is_told() -> None:
    text = f"[published.base]\nparameters = 1{'0' * 310}"
    assert told(text).endswith("is not a whole number from 1.")


def test_a_study_file_with_a_name_that_no_disk_takes_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no study file"):
        load_study(tmp_path / f"{'x' * 300}.toml")
