"""The backbone that comes along: its file, and that it knows something of photos."""

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tinyscope.features.weights import SHIPPED, load_backbone
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.transfer import Extractor, TransferNetwork

NAME = "cifar100-backbone"


@pytest.fixture(scope="module")
def extract():
    backbone, _ = load_backbone(NAME)
    network = TransferNetwork(backbone.network, torch.nn.Identity(), size=None, pooling="mean")
    wrapped = PixelInput(network, mean=backbone.mean, deviation=backbone.deviation)
    return Extractor(wrapped).eval()


def features(extract, pixels):
    with torch.inference_mode():
        return extract(torch.from_numpy(pixels)).numpy()


def test_its_file_is_small_and_names_the_run_that_trained_it():
    assert SHIPPED[NAME].stat().st_size <= 8_000_000
    assert SHIPPED[NAME].with_suffix(".md").is_file()
    with safe_open(SHIPPED[NAME], framework="pt") as file:
        assert file.metadata()["run"].startswith("backbone-seed0-")
        assert file.metadata()["data"] == "cifar100"


@pytest.mark.parametrize("layer", ["", "groups.0", "groups.1", "groups.2", "levels"])
def test_every_layer_has_all_its_weights_in_the_file(layer):
    backbone, digest = load_backbone(NAME, layer=layer)
    assert len(digest) == 16
    assert all(each.isfinite().all() for each in backbone.network.state_dict().values())
    shapes = {
        "groups.0": (2, 64, 15, 15),
        "groups.1": (2, 256, 7, 7),
        "groups.2": (2, 304, 3, 3),
    }
    found = backbone.network(torch.zeros(2, 3, 32, 32)).shape
    assert found == shapes.get(layer, (2, 1680))


def test_its_norms_are_those_that_it_was_trained_with(extract):
    norms = [each for each in extract.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    assert {each.eps for each in norms} == {1e-12}


@pytest.mark.parametrize("side", [8, 15, 32, 64, 96])
def test_it_takes_images_of_many_sizes(extract, side):
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype(np.uint8)
    assert features(extract, pixels).shape == (2, 1680)


def pieces(photo, rng, count, side=32):
    """Pieces of a photo at random places, half of its resolution."""
    small = photo[::2, ::2]
    rows = rng.integers(0, small.shape[0] - side, count)
    columns = rng.integers(0, small.shape[1] - side, count)
    return np.stack([small[r : r + side, c : c + side] for r, c in zip(rows, columns, strict=True)])


def test_it_tells_pieces_of_a_temple_from_pieces_of_a_flower_by_what_they_show(extract):
    # In grey, so that colour alone does not tell; six pieces of each to learn from.
    rng = np.random.default_rng(0)
    photos = [
        np.repeat(photo.mean(2, keepdims=True), 3, 2) for photo in load_sample_images().images
    ]
    photos = [photo.astype(np.uint8) for photo in photos]
    learnt = np.concatenate([pieces(photo, rng, 6) for photo in photos])
    asked = np.concatenate([pieces(photo, rng, 200) for photo in photos])
    labels, expected = np.repeat([0, 1], 6), np.repeat([0, 1], 200)

    def right(values, others):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
        return (model.fit(values, labels).predict(others) == expected).mean()

    by_features = right(features(extract, learnt), features(extract, asked))
    by_pixels = right(learnt.reshape(12, -1) / 255, asked.reshape(400, -1) / 255)
    assert by_features > by_pixels + 0.1
    assert by_features > 0.75
