import numpy as np
import pytest

from tinyscope.data.normalization import channel_statistics


@pytest.mark.parametrize("shape", [(7, 5, 6, 3), (1, 4, 4, 3), (3, 8, 8, 1), (4097, 2, 3, 3)])
def test_mean_and_deviation_are_those_of_numpy(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    mean, deviation = channel_statistics(images)
    assert mean.dtype == deviation.dtype == np.float64
    np.testing.assert_allclose(mean, images.mean((0, 1, 2), dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(deviation, images.astype(np.float64).std((0, 1, 2)), rtol=1e-12)


def test_the_extremes_of_a_byte_are_counted() -> None:
    images = np.array([0, 255, 255, 0], dtype=np.uint8).reshape(1, 2, 2, 1)
    mean, deviation = channel_statistics(images)
    assert mean.tolist() == [127.5]
    assert deviation.tolist() == [127.5]


def test_a_channel_that_never_varies_can_be_divided_by() -> None:
    images = np.zeros((3, 2, 2, 3), dtype=np.uint8)
    images[..., 1] = 9
    images[..., 2] = np.arange(12).reshape(3, 2, 2)
    mean, deviation = channel_statistics(images)
    assert mean.tolist() == [0.0, 9.0, 5.5]
    assert deviation[:2].tolist() == [1.0, 1.0]
    assert deviation[2] == pytest.approx(np.arange(12).std())


def test_many_images_lose_no_precision() -> None:
    # Two values beside each other, 20 million times: squares of sums would cancel.
    images = np.full((5000, 32, 32, 1), 254, dtype=np.uint8)
    images[::2] = 255
    mean, deviation = channel_statistics(images)
    assert mean.tolist() == [254.5]
    assert deviation.tolist() == [0.5]


def test_a_view_is_read_as_it_looks() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)
    view = images[:, ::2, ::-1, ::-1]
    np.testing.assert_allclose(channel_statistics(view)[0], view.mean((0, 1, 2)), rtol=1e-12)
