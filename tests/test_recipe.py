import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import pytest

from tinyscope.errors import InputError
from tinyscope.plan.identity import identity, told_apart_by
from tinyscope.plan.recipe import KEYS, Recipe, fault_of, faults

OTHER_VALUES: dict[str, Any] = {
    "model": "resnet-20",
    "layers": ["flatten"],
    "widths": [32, 64],
    "depth": 3,
    "initializer": "torch",
    "normalization": "unit",
    "backbone": "vgg16",
    "backbone_weights": "vgg16.safetensors",
    "backbone_layer": "block3",
    "backbone_size": 48,
    "pooling": "max",
    "classifier": "random-forest",
    "refit": True,
    "head": ["batchnorm"],
    "feature_views": 2,
    "unfrozen_blocks": 1,
    "unfrozen_rate": 0.5,
    "horizontal_flip": True,
    "alternating_flip": True,
    "vertical_flip": True,
    "shift": 1,
    "rotation": 5.0,
    "zoom": 0.1,
    "cutout": 4,
    "training_sizes": [0.5, 0.75, 1.0],
    "optimizer": "adamw",
    "learning_rate": 0.2,
    "head_learning_rate": 1.0,
    "offset_learning_rate": 0.1,
    "sgd_momentum": 0.5,
    "momentum": 0.8,
    "nesterov": False,
    "weight_decay": 0.0,
    "rho": 0.95,
    "beta_1": 0.8,
    "beta_2": 0.99,
    "epsilon": 1e-8,
    "schedule": "cosine",
    "warmup": 0.1,
    "step_epochs": 11,
    "step_factor": 0.2,
    "plateau_patience": 3,
    "plateau_factor": 0.2,
    "plateau_minimum": 1e-5,
    "epochs": 21,
    "batch_size": 64,
    "hardest_share": 0.5,
    "proxy_widths": [8, 16],
    "proxy_size": 0.5,
    "early_stopping_patience": 5,
    "label_smoothing": 0.1,
    "sam_steps": 0.2,
    "sam_radius": 0.3,
    "sam_share": 0.5,
    "averaged_steps": 0.2,
    "class_weights": "balanced",
    "test_views": "mirrored",
    "precision": "bf16",
}
"""For every key, a value that is not the default."""

TRANSFER = {"model": "transfer", "backbone": "resnet"}

NEEDED = {
    "layers": {"model": "layer-stack"},
    **dict.fromkeys(
        ("backbone", "backbone_weights", "backbone_layer", "backbone_size", "classifier", "head"),
        TRANSFER,
    ),
    "refit": {**TRANSFER, "classifier": "rbf-svm"},
    "unfrozen_blocks": TRANSFER,
    "feature_views": {**TRANSFER, "shift": 1, "feature_views": 3},
    "warmup": {"schedule": "cosine"},
    **{key: {"sam_steps": 1.0} for key in ("sam_radius", "sam_share")},
    "alternating_flip": {"horizontal_flip": True},
    "test_views": {"horizontal_flip": True},
}
"""Keys that have to go along with some."""


WEIGHTS = {"network.head.weight": (10, 64), "mean": (3,)}


def name_of(
    recipe: Recipe,
    *,
    weights: Mapping[str, Sequence[int]] = WEIGHTS,
    data: str = "d",
    seed: int = 0,
) -> str:
    return identity(recipe, weights=weights, data_fingerprint=data, seed=seed)


def test_every_key_has_another_value_in_these_tests() -> None:
    assert tuple(OTHER_VALUES) == KEYS
    defaults = Recipe().as_dict()
    assert [key for key in KEYS if OTHER_VALUES[key] == defaults[key]] == []


@pytest.mark.parametrize("key", KEYS)
def test_every_single_key_changes_the_identity(key: str) -> None:
    around = Recipe(**{"precision": "fp32", **_sound(NEEDED.get(key, {}))})
    changed = around.changed({key: OTHER_VALUES[key]})
    assert name_of(changed) != name_of(around)
    assert around.changed({}) == around


def _sound(values: dict[str, Any]) -> dict[str, Any]:
    stack = values.get("model") == "layer-stack"
    return {**values, "layers": ("flatten", "relu")} if stack else values


def test_weights_that_are_taken_over_change_the_identity() -> None:
    recipe = Recipe(precision="fp32")
    made = [
        identity(recipe, weights=WEIGHTS, data_fingerprint="d", seed=0, start=start)
        for start in ("", "aa", "bb")
    ]
    assert len(set(made)) == 3
    assert made[0] == name_of(recipe)


@pytest.mark.parametrize("changes", [{}, {"sam_radius": 0.3, "sam_share": 0.5}])
def test_keys_that_came_later_leave_names_alone_where_they_change_nothing(
    changes: dict[str, Any],
) -> None:
    """Finished runs of before are found again: the name was given before there were those keys."""
    assert name_of(Recipe(precision="fp32").changed(changes)) == "ca0912e5"


def test_data_and_seed_change_the_identity() -> None:
    recipe = Recipe(precision="fp32")
    names = {name_of(recipe), name_of(recipe, data="e"), name_of(recipe, seed=1)}
    assert len(names) == 3
    assert all(len(name) == 8 and set(name) <= set("0123456789abcdef") for name in names)


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_runs_of_before_muons_last_change_are_not_taken_for_todays(optimizer: str) -> None:
    recipe = Recipe(optimizer=optimizer, precision="fp32")
    content = {"recipe": told_apart_by(recipe), "weights": WEIGHTS, "data": "d", "seed": 0}
    encoded = json.dumps(content, sort_keys=True, default=list).encode()
    before = hashlib.sha256(encoded).hexdigest()[:8]
    assert (name_of(recipe) == before) == (optimizer == "sgd")


def test_a_network_that_is_built_otherwise_later_changes_the_identity() -> None:
    recipe = Recipe(precision="fp32")
    wider = {**WEIGHTS, "network.head.weight": (10, 128)}
    renamed = {"network.dense.weight": (10, 64), "mean": (3,)}
    names = {name_of(recipe, weights=each) for each in (WEIGHTS, wider, renamed)}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"backbone_layer": "block3"},
            'backbone_layer = "block3" belongs to model = "transfer".',
        ),
        ({"head": ["relu"]}, 'head = ["relu"] belongs to model = "transfer".'),
        (
            {"model": "transfer"},
            'model = "transfer" needs a backbone. Run "tinyscope list backbones" to see them all.',
        ),
        (
            {**TRANSFER, "vertical_flip": True},
            "vertical_flip = true has no effect on a frozen backbone that sees each image once: "
            "set feature_views = 2 or more, or unfrozen_blocks = 1 or more.",
        ),
        (
            {**TRANSFER, "shift": 1, "feature_views": 2, "unfrozen_blocks": 1},
            "feature_views is of a frozen backbone; with unfrozen_blocks, every epoch shows images "
            "changed anew: leave feature_views at 1.",
        ),
        (
            {**TRANSFER, "feature_views": 4},
            "feature_views = 4 needs random changes of images, such as horizontal_flip = true: "
            "without any, all views are the same.",
        ),
        (
            {**TRANSFER, "classifier": "linear-svm", "head": ["batchnorm"]},
            'head belongs to classifier = "dense"; "linear-svm" takes the features of a frozen '
            "backbone as they are.",
        ),
        (
            {**TRANSFER, "classifier": "nearest-neighbours", "class_weights": "balanced"},
            'class_weights = "balanced" has no effect on "nearest-neighbours", which only counts '
            'neighbours: choose another classifier, or leave it at "equal".',
        ),
        (
            {**TRANSFER, "classifier": "random-forest", "unfrozen_blocks": 2},
            'unfrozen_blocks belongs to classifier = "dense"; "random-forest" takes the features '
            "of a frozen backbone as they are.",
        ),
        (
            {**TRANSFER, "training_sizes": [0.5, 1.0]},
            "training_sizes has no effect on a frozen backbone: leave it empty.",
        ),
    ],
)
def test_keys_of_a_transfer_that_do_not_fit_are_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as refused:
        Recipe(**values)
    assert str(refused.value) == told


def test_images_may_change_where_the_backbone_sees_them_anew() -> None:
    Recipe(**TRANSFER, shift=2, unfrozen_blocks=1, training_sizes=(0.5, 1.0))
    Recipe(**TRANSFER, shift=2, feature_views=4)


def test_recipes_that_are_spelled_in_two_ways_have_one_identity() -> None:
    one = Recipe(
        model="layer-stack",
        layers=["flatten"],
        widths=[8, 16],
        training_sizes=[0.5, 1],
        learning_rate=1,
        rotation=15,
        plateau_patience="none",
        precision="fp32",
    )
    other = Recipe(
        model="layer-stack",
        layers=("flatten",),
        widths=(8, 16),
        training_sizes=(0.5, 1.0),
        learning_rate=1.0,
        rotation=15.0,
        plateau_patience=None,
        precision="fp32",
    )
    assert one == other
    assert hash(one) == hash(other)
    assert name_of(one) == name_of(other)


def test_a_run_is_not_named_before_its_precision_is_known() -> None:
    with pytest.raises(InputError) as caught:
        name_of(Recipe())
    assert str(caught.value) == 'precision = "auto" has to be resolved before a run is named.'


@pytest.mark.parametrize("key", KEYS)
def test_a_recipe_comes_back_from_json(key: str) -> None:
    values = {key: OTHER_VALUES[key], **NEEDED.get(key, {})}
    recipe = Recipe(**values)
    stored = json.loads(json.dumps(recipe.as_dict()))
    assert Recipe(**stored) == recipe
    assert Recipe().changed(stored) == recipe
    assert tuple(stored) == KEYS


def test_none_is_spelled_out_where_there_is_no_word_for_it() -> None:
    recipe = Recipe(plateau_patience=3, early_stopping_patience=4)
    changed = recipe.changed({"plateau_patience": "none", "early_stopping_patience": None})
    assert changed == Recipe()


def test_the_difference_of_two_recipes_is_what_the_first_has_of_its_own() -> None:
    smooth = Recipe(label_smoothing=0.2, epochs=5)
    assert smooth.difference(Recipe()) == {"epochs": 5, "label_smoothing": 0.2}
    assert Recipe().difference(smooth) == {"epochs": 20, "label_smoothing": 0.0}
    assert smooth.difference(smooth) == {}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("epochs", "ten", 'epochs = "ten" is not a whole number.'),
        ("epochs", 2.5, "epochs = 2.5 is not a whole number."),
        ("epochs", True, "epochs = true is not a whole number."),
        ("epochs", None, "epochs = None is not a whole number."),
        ("epochs", "none", 'epochs = "none" is not a whole number.'),
        ("epochs", 0, "epochs = 0 is out of range: at least 1."),
        ("epochs", [1, 2], "epochs = [1, 2] is not a whole number."),
        ("learning_rate", "0.1", 'learning_rate = "0.1" is not a number.'),
        ("learning_rate", False, "learning_rate = false is not a number."),
        ("learning_rate", -1, "learning_rate = -1 is out of range: at least 0."),
        ("learning_rate", float("nan"), "learning_rate = nan is not a finite number."),
        ("learning_rate", float("inf"), "learning_rate = inf is not a finite number."),
        ("learning_rate", 10**310, f"learning_rate = {10**310} is not a finite number."),
        ("momentum", 1, "momentum = 1 is out of range: at least 0, below 1."),
        ("beta_2", 1.0, "beta_2 = 1.0 is out of range: at least 0, below 1."),
        ("epsilon", 0, "epsilon = 0 is out of range: above 0."),
        ("rotation", 181, "rotation = 181 is out of range: at least 0, at most 180."),
        ("zoom", 1, "zoom = 1 is out of range: at least 0, at most 0.9."),
        ("label_smoothing", 1, "label_smoothing = 1 is out of range: at least 0, at most 0.99."),
        ("horizontal_flip", 1, "horizontal_flip = 1 is not true or false."),
        ("horizontal_flip", "yes", 'horizontal_flip = "yes" is not true or false.'),
        ("model", 3, "model = 3 is not a text."),
        (
            "plateau_patience",
            0,
            'plateau_patience = 0 is out of range: at least 1, or "none".',
        ),
        (
            "early_stopping_patience",
            "never",
            'early_stopping_patience = "never" is not a whole number, or "none".',
        ),
        (
            "layers",
            "flatten",
            'layers = "flatten" is not a list of texts, such as ["flatten", "dense 64 relu"].',
        ),
        (
            "layers",
            ["flatten", 3],
            'layers = ["flatten", 3] is not a list of texts, such as ["flatten", "dense 64 relu"].',
        ),
        *(
            (
                "widths",
                given,
                f"widths = {json.dumps(given)} is not a list of whole numbers from 1 to 4096, such "
                "as [64, 256, 256].",
            )
            for given in ([], 64, "64", [64, 0], [4097], [64, 2.5], [True], [[64]])
        ),
        *(
            (
                "training_sizes",
                given,
                f"training_sizes = {json.dumps(given)} is not a list of shares from 0.25 to 1 that "
                "ends with 1, such as [0.625, 0.75, 1.0].",
            )
            for given in (1, [0.5], [0.2, 1], [1.5, 1], [1, 0.5], ["1"], [True], [None, 1], "1")
        ),
        ("depth", 1, "depth = 1 is out of range: at least 2, at most 16."),
        ("sgd_momentum", 1, "sgd_momentum = 1 is out of range: at least 0, below 1."),
        (
            "test_views",
            "mirored",
            'test_views = "mirored" is none of "one", "mirrored", "mirrored-and-moved". '
            'Did you mean "mirrored"?',
        ),
        (
            "optimizer",
            "addam",
            'optimizer = "addam" is none of "sgd", "rmsprop", "adam", "adamw", "muon". '
            'Did you mean "adam"?',
        ),
        (
            "schedule",
            "zig\nzag",
            'schedule = "zig\\nzag" is none of "constant", "step", "linear", "cosine", '
            '"one-cycle".',
        ),
        (
            "precision",
            16,
            'precision = 16 is none of "auto", "bf16", "fp32". Did you mean "bf16"?',
        ),
        ("class_weights", "none", 'class_weights = "none" is none of "equal", "balanced".'),
        (
            "learning_rat",
            0.1,
            'Unknown recipe key "learning_rat". Did you mean "learning_rate"? '
            'Run "tinyscope list recipes" to see all 58.',
        ),
        (
            "zzz",
            0.1,
            'Unknown recipe key "zzz". Expected one of 58 names. '
            'Run "tinyscope list recipes" to see all 58.',
        ),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_what_was_expected(
    key: str, value: Any, told: str
) -> None:
    assert fault_of(key, value) == told
    with pytest.raises(InputError) as caught:
        Recipe().changed({key: value})
    assert str(caught.value) == told
    assert faults({key: value}, partly=True) == [told]


@pytest.mark.parametrize("entry", fields(Recipe), ids=lambda entry: entry.name)
def test_every_key_refuses_what_is_of_no_type_at_all(entry: Any) -> None:
    assert fault_of(entry.name, {"a": [1]}) is not None
    assert fault_of(entry.name, entry.default) is None
    with pytest.raises(InputError):
        Recipe(**{entry.name: object()})


@pytest.mark.parametrize("key", [entry.name for entry in fields(Recipe) if entry.metadata])
def test_every_number_is_refused_just_outside_its_range(key: str) -> None:
    limits = Recipe.__dataclass_fields__[key].metadata
    for word, limit in limits.items():
        outside = {
            "at_least": limit - 1,
            "above": limit,
            "at_most": limit + 1,
            "below": limit,
        }[word]
        assert f"{key} = {outside} is out of range: " in str(fault_of(key, outside))
        if word in ("at_least", "at_most"):
            assert fault_of(key, limit) is None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"model": "layer-stack"},
            '"layers" and model = "layer-stack" come together or not at all.',
        ),
        (
            {"layers": ("flatten",)},
            '"layers" and model = "layer-stack" come together or not at all.',
        ),
        (
            {"schedule": "one-cycle"},
            'schedule = "one-cycle" needs a warmup between 0 and 1, such as 0.3.',
        ),
        (
            {"schedule": "one-cycle", "warmup": 1},
            'schedule = "one-cycle" needs a warmup between 0 and 1, such as 0.3.',
        ),
        ({"warmup": 0.1}, 'warmup belongs to the schedules "linear", "cosine" and "one-cycle".'),
        (
            {"warmup": 0.1, "schedule": "step"},
            'warmup belongs to the schedules "linear", "cosine" and "one-cycle".',
        ),
        (
            {"alternating_flip": True, "vertical_flip": True},
            "alternating_flip = true needs horizontal_flip = true.",
        ),
        *(
            (
                {"test_views": views, "vertical_flip": True},
                f'test_views = "{views}" shows mirrored images, which training never sees: it '
                'needs horizontal_flip = true, or test_views = "one".',
            )
            for views in ("mirrored", "mirrored-and-moved")
        ),
        ({"momentum": 0}, "nesterov = true needs a momentum above 0."),
        (
            {"averaged_steps": 0.2, "early_stopping_patience": 3},
            "averaged_steps ends with the mean of the last steps' weights, and "
            "early_stopping_patience with those of the best epoch: set averaged_steps = 0, or "
            'early_stopping_patience = "none".',
        ),
        *(
            (
                {**TRANSFER, "classifier": "rbf-svm", key: 0.2},
                f'{key} = 0.2 belongs to steps, and classifier = "rbf-svm" is fitted without any: '
                "leave it at 0.",
            )
            for key in ("sam_steps", "averaged_steps")
        ),
    ],
)
def test_values_that_contradict_one_another_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        Recipe(**values)
    assert str(caught.value) == told
    with pytest.raises(InputError) as caught:
        Recipe().changed(values)
    assert str(caught.value) == told


def test_values_that_go_together_are_accepted() -> None:
    Recipe(model="layer-stack", layers=("flatten",))
    Recipe(schedule="one-cycle", warmup=0.3)
    Recipe(schedule="cosine", warmup=1)
    Recipe(schedule="linear", warmup=0.2)
    Recipe(alternating_flip=True, horizontal_flip=True)
    Recipe(horizontal_flip=True)
    Recipe(horizontal_flip=True, test_views="mirrored-and-moved")
    Recipe(momentum=0, nesterov=False)
    Recipe(momentum=0, optimizer="adam")
    Recipe(averaged_steps=0.2, plateau_patience=3, sam_steps=1)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Recipe(epochs=0, batch_size="big")
    assert str(caught.value) == (
        'epochs = 0 is out of range: at least 1. batch_size = "big" is not a whole number.'
    )
