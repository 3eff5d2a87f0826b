"""torch's generators are lent to one thread at a time, and given back as they were."""

import logging
from contextlib import contextmanager
from threading import Event, Thread

import pytest
import torch
from training_world import SMALL, assert_same_bits

from tinyscope.data.dataset import Preprocessing
from tinyscope.models import generator
from tinyscope.models.backbones import build_backbone
from tinyscope.models.generator import borrowed_generator
from tinyscope.models.layer_stack import FeatureHead
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.transfer import TransferNetwork
from tinyscope.plan.recipe import Recipe
from tinyscope.shipping.classifier import load_classifier
from tinyscope.shipping.model_folder import save_model
from tinyscope.sweep.beginnings import beginning
from tinyscope.training import price
from tinyscope.training.trainer import train

CPU = torch.device("cpu")


@contextmanager
def left_alone():
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_training_in_another_thread_does_not_change_the_weights(world):
    """Both would seed, and draw from, the one generator that torch has for a process."""
    expected = train(world, SMALL, seed=3).network
    inside, over, met = Event(), Event(), []

    def other():
        train(world, SMALL, seed=4, on_step=lambda *_: (inside.set(), over.wait(10)))

    thread = Thread(target=other)

    def in_the_middle(step, steps):
        if not thread.ident:
            thread.start()
            inside.wait(0.5)
        met.append(inside.is_set())

    try:
        trained = train(world, SMALL, seed=3, on_step=in_the_middle)
    finally:
        over.set()
        if thread.ident:
            thread.join()
    assert met
    assert not any(met)
    assert inside.is_set()
    assert_same_bits(trained.network, expected)


def test_a_price_asked_in_another_thread_does_not_change_the_weights(world, monkeypatch):
    """Who builds a network and then sets the generator back would undo the draws of a training."""
    expected = train(world, SMALL, seed=3).network
    begun, go_on, built = Event(), Event(), price.built

    def slowly(*asked):
        network = built(*asked)
        begun.set()
        assert go_on.wait(10)
        return network

    monkeypatch.setattr(price, "built", slowly)
    ask = price.price_for(shape=(16, 16, 3), classes=4, images=256)
    told = []
    thread = Thread(target=lambda: told.append(ask(SMALL.as_dict())))

    def in_the_middle(step, steps):
        if not thread.ident:
            thread.start()
            assert begun.wait(10), "a price waits for no training"
        elif step == 4 and not go_on.is_set():
            go_on.set()
            thread.join()

    try:
        trained = train(world, SMALL, seed=3, on_step=in_the_middle)
    finally:
        go_on.set()
    assert told == [trained.flop]
    assert_same_bits(trained.network, expected)


def test_reading_a_backbone_leaves_the_callers_random_numbers_alone(world):
    recipe = Recipe(model="transfer", backbone="cifar100-backbone", initializer="zero-output")
    with left_alone():
        beginning(recipe, world)


def test_loading_a_network_of_timm_leaves_the_callers_random_numbers_alone(tmp_path):
    pytest.importorskip("timm")
    backbone = build_backbone("timm:test_resnet")
    shape, classes = Preprocessing(32, 32, 3), ("cat", "dog")
    features = backbone.network(torch.zeros(1, 3, 32, 32)).shape[1]
    recipe = Recipe(model="transfer", backbone="timm:test_resnet")
    head = FeatureHead(recipe.head, features=features, classes=len(classes))
    network = TransferNetwork(backbone.network, head, size=None, pooling=recipe.pooling)
    save_model(
        tmp_path,
        PixelInput(network, mean=backbone.mean, deviation=backbone.deviation),
        recipe=recipe,
        class_names=classes,
        preprocessing=shape,
        card={},
        transfer={
            "backbone": {"name": backbone.name, "layer": backbone.layer},
            "features": features,
        },
    )
    with left_alone():
        load_classifier(tmp_path)


def test_a_thread_that_waits_for_another_training_says_so(monkeypatch, caplog):
    monkeypatch.setattr(generator, "_SILENT_SECONDS", 0.01)
    inside, over = Event(), Event()

    def other():
        with borrowed_generator(CPU):
            inside.set()
            over.wait(10)

    class Ends(logging.Handler):
        def emit(self, record):
            over.set()

    ends = Ends()
    generator._log.addHandler(ends)
    thread = Thread(target=other)
    thread.start()
    try:
        assert inside.wait(10)
        with borrowed_generator(CPU):
            assert over.is_set()
    finally:
        over.set()
        thread.join()
        generator._log.removeHandler(ends)
    assert [record.message for record in caplog.records] == [
        "waits for another training in this process"
    ]


def test_the_generator_can_be_borrowed_again_after_a_block_that_failed():
    with pytest.raises(KeyboardInterrupt), borrowed_generator(CPU):
        raise KeyboardInterrupt
    thread = Thread(target=lambda: borrowed_generator(CPU).__enter__())
    thread.start()
    thread.join(2)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("on", "used", "lent"),
    [("cpu", False, []), ("cpu", True, [0, 1]), ("cuda", False, [0, 1])],
)
def test_no_gpu_is_set_up_for_a_block_that_computes_on_the_cpu(monkeypatch, on, used, lent):
    """It takes seconds and hundreds of megabytes, also where TINYSCOPE_DEVICE is cpu."""
    asked = []

    @contextmanager
    def fork(devices):
        asked.extend(devices)
        yield

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: used)
    monkeypatch.setattr(torch.random, "fork_rng", fork)
    with borrowed_generator(torch.device(on)):
        pass
    assert asked == lent
