import inspect

import pytest

from tinyscope.errors import InputError
from tinyscope.models import zoo
from tinyscope.plan.recipe_book import RECIPES, recipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_built_and_says_what_it_is(name: str) -> None:
    made = recipe(name)
    assert made == RECIPES[name]()
    assert made.model in zoo.NAMES
    assert (inspect.getdoc(RECIPES[name]) or "").splitlines()[0].endswith(".")


def test_no_two_recipes_are_the_same() -> None:
    assert len({recipe(name) for name in RECIPES}) == len(RECIPES)


def test_an_unknown_recipe_is_told_with_the_nearest_one() -> None:
    with pytest.raises(InputError) as caught:
        recipe("keras-adm")
    assert str(caught.value) == (
        'Unknown recipe "keras-adm". Did you mean "keras-adam"? '
        'Run "tinyscope list recipes" to see all 14.'
    )


def test_the_keras_recipes_have_the_defaults_of_keras() -> None:
    # keras.io: RMSprop(learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-07),
    # Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07),
    # SGD(learning_rate=0.01, momentum=0.0), fit(batch_size=32), kernel "glorot_uniform".
    rmsprop, adam, sgd = (recipe(f"keras-{name}") for name in ("rmsprop", "adam", "sgd"))
    for each in (rmsprop, adam, sgd):
        assert (each.batch_size, each.weight_decay, each.schedule) == (32, 0.0, "constant")
        assert (each.initializer, each.normalization) == ("glorot-uniform", "unit")
    assert (rmsprop.optimizer, rmsprop.learning_rate) == ("rmsprop", 0.001)
    assert (rmsprop.rho, rmsprop.momentum, rmsprop.epsilon) == (0.9, 0.0, 1e-7)
    assert (adam.optimizer, adam.learning_rate) == ("adam", 0.001)
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.9, 0.999, 1e-7)
    assert (sgd.optimizer, sgd.learning_rate) == ("sgd", 0.01)
    assert (sgd.momentum, sgd.nesterov) == (0.0, False)
