"""The studies that come along: what each asks for, and that published ones are as published."""

import pytest

from tinyscope.models import zoo
from tinyscope.models.backbones import BACKBONES
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.recipe_faults import JUDGES
from tinyscope.plan.study import Study
from tinyscope.plan.study_files import built_in, load_study
from tinyscope.training.cost import image_flop

CIFAR_10 = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def classes_of(study: Study) -> list[str] | None:
    return list(CIFAR_10) if study.data == "cifar10" else None


@pytest.mark.parametrize("name", built_in())
def test_every_built_in_study_can_be_planned_and_its_models_exist(name: str) -> None:
    study = load_study(name, judges=JUDGES)
    assert study.name == name
    assert study.question.endswith("?")
    recipes = study.recipes()
    assert recipes
    assert set(study.published) == set(study.published_figures(classes_of(study)))
    assert set(study.published) <= set(recipes)
    for recipe in recipes.values():
        side = 8 if study.data == "digits" else 32
        if recipe.model == zoo.TRANSFER:
            assert recipe.backbone in BACKBONES
            continue
        zoo.build(
            recipe.model, layers=recipe.layers, channels=3, classes=10, height=side, width=side
        )


def test_the_studies_that_the_documentation_names_come_along() -> None:
    assert {"demo", "quickstart", *(f"published-{letter}" for letter in "abcde")} <= set(built_in())
    assert list(built_in()) == sorted(built_in())


PUBLISHED = [name for name in built_in() if name.startswith("published-")]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_study_says_whose_it_is_and_where_each_of_its_methods_differs(
    name: str,
) -> None:
    study = load_study(name)
    assert study.seeds == (0, 1, 2)
    assert study.published_source.endswith("; one run each")
    for figures in study.published_figures().values():
        assert figures.figures
        assert all(each.endswith(".") for each in figures.differs)
        assert any("alidat" in each for each in figures.differs)
        assert not any("seeds instead" in each for each in figures.differs), "a page counts them"


def test_the_published_accuracies_are_those_of_the_reports() -> None:
    found = {
        f"{name[10:]} {variation}": one.figures["test_accuracy"]
        for name in PUBLISHED
        for variation, one in load_study(name).published_figures().items()
        if "test_accuracy" in one.figures
    }
    assert found == {
        "a without-pooling": 0.4711,
        "a with-pooling": 0.6207,
        "a with-augmentation": 0.67,
        "b model-1": 0.6305,
        "b model-2": 0.7191,
        "b model-3": 0.7204,
        "b model-3-falling-rate": 0.7204,
        "c model-1": 0.6005,
        "c improved": 0.6388,
        "c v3": 0.699,
        "c final": 0.7143,
        "d simple": 0.69,
        "d-transfer vgg16": 0.829,
        "d-transfer vgg16-random-forest": 0.61,
        "e 5-epochs": 0.5728,
        "e 20-epochs": 0.7311,
        "e-transfer transfer": 0.6325,
    }
    optimizers = load_study("published-c").published_figures()
    assert optimizers["sgd"].figures["val_accuracy"] == 0.5917
    assert optimizers["adam"].figures["val_accuracy"] == 0.707


@pytest.mark.parametrize("name", ["published-b", "published-c", "published-d"])
def test_published_networks_are_trained_as_the_reports_trained_them(name: str) -> None:
    study = load_study(name)
    published = study.published_figures()
    for variation, recipe in study.recipes().items():
        figures = published[variation].figures if variation in published else {}
        assert recipe.epochs == figures.get("epochs", recipe.epochs)
        if variation.startswith("ours"):
            continue
        assert recipe.batch_size == 32
        assert (recipe.normalization, recipe.initializer) == ("unit", "glorot-uniform")
        assert (recipe.label_smoothing, recipe.weight_decay) == (0, 0)
        falling = variation == "model-3-falling-rate"
        assert recipe.schedule == ("linear" if falling else "constant")
        not_given = 0.0005 if (name, variation) == ("published-b", "model-1") else 0.001
        assert recipe.learning_rate == (0.01 if recipe.optimizer == "sgd" else not_given)


def test_the_falling_rate_is_all_that_the_control_of_report_b_changes() -> None:
    recipes = load_study("published-b").recipes()
    changed = recipes["model-3"].difference(recipes["model-3-falling-rate"])
    assert changed == {"schedule": "constant"}


@pytest.mark.parametrize("variation", ["improved", "final"])
def test_the_controls_of_report_c_leave_out_the_vertical_flips_alone(variation: str) -> None:
    recipes = load_study("published-c").recipes()
    control = recipes[f"{variation}-upright"]
    assert recipes[variation].difference(control) == {"vertical_flip": True}


def test_the_two_optimizers_of_report_c_differ_in_nothing_else() -> None:
    recipes = load_study("published-c").recipes()
    assert recipes["sgd"].difference(recipes["adam"]) == {"optimizer": "sgd", "learning_rate": 0.01}


def test_the_twenty_epochs_of_report_e_go_on_from_the_five() -> None:
    study = load_study("published-e")
    assert study.starts() == {"20-epochs": "5-epochs"}
    first, second = (study.recipes()[name] for name in ("5-epochs", "20-epochs"))
    assert second.difference(first) == {"learning_rate": 0.001, "epochs": 20}


def test_the_stacks_of_report_a_differ_in_pooling_and_in_augmentation_alone() -> None:
    recipes = load_study("published-a").recipes()
    short, without = recipes["with-pooling-short"], recipes["without-pooling"]
    assert [line for line in short.layers if line != "maxpool 2"] == list(without.layers)
    assert list(without.difference(short)) == ["layers"]
    assert recipes["with-pooling"].difference(short) == {"epochs": 18}
    long, equal = recipes["with-augmentation"], recipes["with-augmentation-short"]
    assert long.difference(equal) == {"epochs": 36}
    changed = equal.difference(recipes["with-pooling"])
    assert changed == {
        "horizontal_flip": True,
        "alternating_flip": True,
        "shift": 2,
        "rotation": 5.0,
        "test_views": "mirrored-and-moved",
    }


def test_pooling_spares_the_stacks_of_report_a_the_arithmetic_that_the_study_states() -> None:
    forward = {}
    recipes = load_study("published-a").recipes()
    for name in ("without-pooling", "with-pooling"):
        made = recipes[name]
        stack = zoo.build(
            made.model, layers=made.layers, channels=3, classes=100, height=32, width=32
        )
        network = PixelInput(stack, mean=(0.0,) * 3, deviation=(1.0,) * 3)
        forward[name] = image_flop(network, shape=(32, 32, 3)).forward / 1e6
    assert forward["without-pooling"] == pytest.approx(411, abs=0.5)
    assert forward["with-pooling"] == pytest.approx(152, abs=0.5)


@pytest.mark.parametrize("letter", "bcde")
def test_ours_is_no_larger_than_the_best_published_network_of_its_report(letter: str) -> None:
    recipes = load_study(f"published-{letter}").recipes()
    best = {"b": "model-3", "c": "final", "d": "deeper", "e": "20-epochs"}[letter]
    shape = {"channels": 3, "classes": 10, "height": 32, "width": 32}
    counts = {}
    for name in (best, *(each for each in recipes if each.startswith("ours"))):
        made = recipes[name]
        network = zoo.build(
            made.model, layers=made.layers, widths=made.widths, depth=made.depth, **shape
        )
        counts[name] = sum(each.numel() for each in network.parameters())
    assert list(recipes)[-1] == "ours"
    assert len(counts) >= 2
    assert max(counts.values()) == counts[best]
    assert letter != "e" or counts[best] <= 1_300_000
