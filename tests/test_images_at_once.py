"""How many images pass a network together goes by the size that the network computes at."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tinyscope.data.batches import Batches, images_at_once
from tinyscope.data.dataset import Preprocessing
from tinyscope.evaluation.predict import predict_logits
from tinyscope.features.extraction import AS_IT_IS, features_of, place_of
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.transfer import Extractor, TransferNetwork, side_of
from tinyscope.models.views import with_views
from tinyscope.shipping.classifier import Classifier

CPU = torch.device("cpu")


class Watched(nn.Module):
    """Mean colours; keeps how many images it is given, and of which size."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, images):
        self.given.append((len(images), *images.shape[2:]))
        return images.mean((2, 3))


def network(size):
    transfer = TransferNetwork(Watched(), nn.Identity(), size=size, pooling="mean")
    return PixelInput(transfer, mean=[100.0] * 3, deviation=[50.0] * 3)


def given(wrapped):
    return wrapped.network.backbone.given


@pytest.mark.parametrize(
    ("height", "width", "side", "at_once"),
    [
        (32, 32, 224, 41),  # 512 x 64^2 / 224^2
        (32, 64, 224, 20),  # 224x448
        (64, 32, 224, 20),
        (32, 32, 64, 512),
        (256, 256, 64, 512),  # as they are stored, they take a sixteenth
        (256, 256, 32, 512),
        (512, 512, 32, 128),
        (4096, 4096, 32, 2),
        (512, 512, 1024, 2),
        (20_000, 20_000, 20_000, 1),
    ],
)
def test_what_a_network_brings_images_to_counts_more_than_how_they_are_stored(
    height, width, side, at_once
):
    assert images_at_once(512, height, width, side=side) == at_once


def test_a_networks_own_side_is_found_in_whatever_is_around_it():
    assert side_of(network(None)) is None
    assert side_of(nn.Linear(2, 2)) is None
    assert side_of(network(128)) == 128
    assert side_of(with_views(network(128), "mirrored")) == 128
    assert side_of(Extractor(network(128))) == 128
    nested = TransferNetwork(network(128).network, nn.Identity(), size=64, pooling="mean")
    assert side_of(nested) == 128


def test_small_images_that_a_network_enlarges_are_answered_few_at_a_time(world):
    wrapped = network(128)
    logits = predict_logits(wrapped, Batches(world.train, device=CPU), precision="fp32")
    assert len(logits) == 256
    assert given(wrapped) == [(128, 128, 128)] * 2  # 512 x 64^2 / 128^2
    as_they_are = network(None)
    predict_logits(as_they_are, Batches(world.train, device=CPU), precision="fp32")
    assert given(as_they_are) == [(256, 16, 16)]


def test_large_images_that_a_network_shrinks_are_answered_many_at_a_time(world):
    large = replace(world.test, images=world.test.images[:64].repeat(16, 1).repeat(16, 2))
    large = replace(large, labels=large.labels[: len(large.images)])
    wrapped = network(16)
    predict_logits(wrapped, Batches(large, device=CPU), precision="fp32")
    assert given(wrapped) == [(len(large), 16, 16)]


def test_a_shipped_model_that_enlarges_images_answers_few_at_a_time(world):
    wrapped = network(128)
    classifier = Classifier(wrapped, class_names="abc", preprocessing=Preprocessing(16, 16, 3))
    assert classifier.probabilities(world.train.images).shape == (256, 3)
    assert given(wrapped) == [(128, 128, 128)] * 2


def test_features_of_a_network_that_enlarges_images_are_computed_few_at_a_time(
    world, tmp_path, monkeypatch
):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path))
    wrapped = network(128)
    asked = {"digest": "d", "precision": "fp32"}
    kept = features_of(Extractor(wrapped), world.train, AS_IT_IS, device=CPU, **asked)
    assert given(wrapped) == [(64, 128, 128)] * 4  # 256 x 64^2 / 128^2
    expected = (world.train.images.mean((1, 2)) - 100) / 50
    np.testing.assert_allclose(kept.values, expected, atol=2e-3)
    # So many together decide the last digit, and so where they are kept.
    place = place_of(world.train, AS_IT_IS, **asked)
    assert place_of(world.train, AS_IT_IS, **asked, side=64) == place
    assert place_of(world.train, AS_IT_IS, **asked, side=128) != place
    assert place_of(world.train, AS_IT_IS, **asked, side=128).exists()
