import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tinyscope.models.views import VIEWS, ManyViews, with_views
from tinyscope.plan.recipe import Recipe


def pictures(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


class Recording(nn.Module):
    """Gives logits that depend on every pixel's place, and keeps what it was shown."""

    def __init__(self, height: int, width: int, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weights = nn.Parameter(torch.randn(height * width * channels, 4))
        self.seen: list[Tensor] = []

    def forward(self, pixels: Tensor) -> Tensor:
        self.seen.append(pixels)
        return torch.tanh(pixels.flatten(1).float() @ self.weights / 2000)


def padded_and_cut(images: np.ndarray, *, down: int, right: int) -> np.ndarray:
    """The slow way: pad by reflection, cut out where the moved image begins."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    return padded[:, 1 - down : 1 - down + height, 1 - right : 1 - right + width]


def looks(images: np.ndarray, views: str) -> list[tuple[float, np.ndarray]]:
    """Each view with its weight, as section 3.5 of the paper describes them."""
    if views == "one":
        return [(1, images)]
    sides = [images, images[:, :, ::-1]]
    if views == "mirrored":
        return [(1 / 2, side) for side in sides]
    lower = padded_and_cut(images, down=1, right=1)
    upper = padded_and_cut(images, down=-1, right=-1)
    moved = [side for each in (lower, upper) for side in (each, each[:, :, ::-1])]
    return [*((1 / 4, side) for side in sides), *((1 / 8, side) for side in moved)]


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize(
    ("height", "width", "channels"), [(8, 8, 3), (5, 9, 1), (3, 3, 3), (2, 6, 3), (1, 5, 1)]
)
def test_logits_are_the_weighted_mean_over_views_made_by_padding_and_cutting(
    views: str, height: int, width: int, channels: int
) -> None:
    if height == 1:
        images = pictures(6, 1, width, channels)
        tall = np.repeat(images, 3, axis=1)  # numpy refuses to reflect a single row

        def expected_looks() -> list[tuple[float, np.ndarray]]:
            return [(weight, each[:, 1:2]) for weight, each in looks(tall, views)]

    else:
        images = pictures(6, height, width, channels)

        def expected_looks() -> list[tuple[float, np.ndarray]]:
            return looks(images, views)

    network = Recording(height, width, channels)
    with torch.no_grad():
        found = with_views(network, views)(torch.from_numpy(images))
        expected = sum(
            weight * network(torch.from_numpy(np.ascontiguousarray(each))).double()
            for weight, each in expected_looks()
        )
    assert found.shape == (6, 4)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("views", VIEWS)
def test_each_view_is_looked_at_once_in_the_images_own_dtype(views: str) -> None:
    images = pictures(3, 6, 7)
    network = Recording(6, 7)
    with_views(network, views)(torch.from_numpy(images))
    assert len(network.seen) == VIEWS[views]
    assert {each.dtype for each in network.seen} == {torch.uint8}
    assert {each.numpy().tobytes() for each in network.seen} == {
        each.tobytes() for _, each in looks(images, views)
    }
    assert all(
        not torch.equal(one, other) for one, other in itertools.combinations(network.seen, 2)
    )


def test_an_image_and_its_mirror_image_get_the_same_answer() -> None:
    images = torch.from_numpy(pictures(4, 8, 8))
    seeing = with_views(Recording(8, 8), "mirrored")
    with torch.no_grad():
        torch.testing.assert_close(seeing(images), seeing(images.flip(2)))


@pytest.mark.parametrize("views", VIEWS)
def test_the_images_stay_as_they_are(views: str) -> None:
    images = torch.from_numpy(pictures(4, 8, 8))
    before = images.clone()
    with_views(Recording(8, 8), views)(images)
    assert torch.equal(images, before)


def test_a_single_view_is_the_network_itself() -> None:
    network = Recording(4, 4)
    assert with_views(network, "one") is network


def test_views_have_the_weights_of_the_network_and_none_of_their_own() -> None:
    network = Recording(4, 4)
    seeing = with_views(network, "mirrored")
    assert isinstance(seeing, ManyViews)
    assert list(seeing.parameters()) == list(network.parameters())
    assert not seeing.eval().network.training


def test_the_recipes_views_are_those_that_there_are() -> None:
    for views in VIEWS:
        assert Recipe(horizontal_flip=True, test_views=views).test_views == views
    assert Recipe().test_views == "one"
    assert list(VIEWS.values()) == [1, 2, 6]
