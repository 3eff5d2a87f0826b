import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator, nn

from tinyscope.data.batches import Augmentation, changed
from tinyscope.data.cache_folder import cache_folder
from tinyscope.data.dataset import Splits
from tinyscope.errors import StorageError
from tinyscope.features import extraction
from tinyscope.features.extraction import AS_IT_IS, FeatureBatches, features_of, random_view

CPU = torch.device("cpu")
FILL = torch.zeros(3)
SHIFTED = Augmentation(shift=3, horizontal_flip=True)


class Corners(nn.Module):
    """The four corner pixels of an image, and how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, pixels):
        self.calls += 1
        return pixels[:, [0, 0, -1, -1], [0, -1, 0, -1]].flatten(1).float()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path))
    return tmp_path


def found(extract, images, view=AS_IT_IS, **changes):
    asked = {"digest": "d", "precision": "fp32", "device": CPU, **changes}
    return features_of(extract, images, view, **asked)


def test_every_image_has_its_features_in_order(world, cache):
    kept = found(Corners(), world.train)
    expected = world.train.images[:, [0, 0, -1, -1], [0, -1, 0, -1]].reshape(256, -1)
    assert kept.values.dtype == np.float16
    assert isinstance(kept.values, np.memmap)
    np.testing.assert_array_equal(kept.values, expected.astype(np.float16))
    assert kept.seconds >= 0


def test_images_pass_once_whoever_asks_again(world, cache):
    extract = Corners()
    first = found(extract, world.train)
    calls = extract.calls
    again = found(extract, world.train)
    assert extract.calls == calls
    assert again.seconds == first.seconds
    np.testing.assert_array_equal(again.values, first.values)


@pytest.mark.parametrize(
    "change", [{"digest": "e"}, {"precision": "bf16"}, {"view": random_view(1, SHIFTED, FILL)}]
)
def test_anything_that_decides_features_has_its_own(world, cache, change):
    found(Corners(), world.train)
    extract = Corners()
    found(extract, world.train, **change)
    assert extract.calls > 0
    found(extract, world.validation)
    assert len(list(cache.glob("features/*.npy"))) == 3


def test_large_images_pass_in_parts_with_the_same_random_changes(world, cache):
    view = random_view(1, SHIFTED, FILL)
    large = replace(world.train, images=world.train.images.repeat(8, 1).repeat(8, 2))
    seen = []

    class Watched(Corners):
        def forward(self, pixels):
            seen.append(len(pixels))
            return super().forward(pixels)

    kept = found(Watched(), large, view)
    assert seen == [64, 64, 64, 64]
    expected = Corners()(view.change(torch.from_numpy(large.images), 0))
    np.testing.assert_array_equal(kept.values, expected.numpy().astype(np.float16))


def test_a_random_view_changes_images_as_training_does_and_always_alike(world):
    pixels = torch.from_numpy(world.train.images[:64])
    view = random_view(1, SHIFTED, FILL)
    once, again = view.change(pixels, 0), view.change(pixels, 0)
    assert torch.equal(once, again)
    assert not torch.equal(once, pixels)
    assert not torch.equal(view.change(pixels, 64), once)
    assert not torch.equal(random_view(2, SHIFTED, FILL).change(pixels, 0), once)
    # What comes out are images that the augmentation can give.
    possible = {
        changed(pixels[:1], SHIFTED, FILL, Generator().manual_seed(seed)).numpy().tobytes()
        for seed in range(600)
    }
    assert once[:1].numpy().tobytes() in possible


def test_a_view_has_a_name_of_its_own():
    names = {
        view.name
        for view in (
            AS_IT_IS,
            random_view(1, SHIFTED, FILL),
            random_view(2, SHIFTED, FILL),
            random_view(1, Augmentation(shift=2), FILL),
            random_view(1, SHIFTED, FILL + 1),
        )
    }
    assert len(names) == 5


class Failing(Corners):
    def forward(self, pixels):
        if self.calls:
            raise KeyboardInterrupt
        return super().forward(pixels)


def test_what_is_interrupted_leaves_nothing_behind(world, cache, monkeypatch):
    monkeypatch.setattr(extraction, "_BATCH", 100)
    with pytest.raises(KeyboardInterrupt):
        found(Failing(), world.train)
    assert list(cache.glob("features/*")) == []
    assert len(found(Corners(), world.train).values) == 256


def test_values_beyond_half_precision_are_cut_off(world, cache):
    class Huge(nn.Module):
        def forward(self, pixels):
            return torch.tensor([[1e30, -1e30, 1.0]]).expand(len(pixels), 3)

    values = found(Huge(), world.test).values
    np.testing.assert_array_equal(values[0], np.array([65504, -65504, 1], np.float16))


def test_a_damaged_entry_is_told_with_what_to_remove(world, cache):
    found(Corners(), world.test)
    [place] = cache.glob("features/*.npy")
    place.write_bytes(b"short")
    with pytest.raises(StorageError) as told:
        found(Corners(), world.test)
    assert str(told.value).startswith(f"{place} cannot be read: ")
    assert str(told.value).endswith(
        f"Remove {place.with_suffix('.json')} to compute these features again."
    )


def test_a_cache_that_cannot_be_written_is_told(world, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError) as told:
        found(Corners(), world.test)
    assert str(told.value) == (
        f"Features cannot be kept in {cache_folder() / 'features'}: Not a directory. "
        "TINYSCOPE_CACHE names another folder."
    )


def test_progress_is_told_up_to_the_last_image(world, cache, monkeypatch):
    monkeypatch.setattr(extraction, "_BATCH", 100)
    told = []
    found(Corners(), world.train, on_batch=lambda done, of: told.append((done, of)))
    assert told == [(100, 256), (200, 256), (256, 256)]
    [record] = cache.glob("features/*.json")
    assert set(json.loads(record.read_text())) == {"seconds", "cpu_seconds"}


def numbered(count, views=1):
    """Features that tell row and view."""
    rows = np.arange(count, dtype=np.float16)
    return [np.stack([rows, np.full(count, view, np.float16)], 1) for view in range(views)]


def drawn(batches, size=8, seed=0):
    generator = Generator().manual_seed(seed)
    return list(batches.shuffled(size, augmentation=Augmentation(), fill=FILL, generator=generator))


def test_shuffled_features_keep_their_labels_and_come_once_each():
    labels = np.arange(30) % 4
    made = drawn(FeatureBatches(numbered(30), labels, device=CPU))
    features = torch.cat([each for each, _ in made])
    assert features.dtype == torch.float32
    assert sorted(features[:, 0].tolist()) == list(range(30))
    assert features[:, 0].tolist() != list(range(30))
    assert [len(each) for each, _ in made] == [8, 8, 7, 7]
    for each, its in made:
        assert (labels[each[:, 0].long().numpy()] == its.numpy()).all()


def test_each_image_comes_in_one_of_its_views_by_chance():
    batches = FeatureBatches(numbered(300, views=3), np.zeros(300, np.int64), device=CPU)
    views = torch.cat([each[:, 1] for each, _ in drawn(batches)])
    counts = torch.bincount(views.long(), minlength=3)
    assert (counts > 60).all()
    again = torch.cat([each[:, 1] for each, _ in drawn(batches)])
    assert torch.equal(views, again)
    other = torch.cat([each[:, 1] for each, _ in drawn(batches, seed=1)])
    assert not torch.equal(views, other)


def test_in_order_is_the_first_view():
    batches = FeatureBatches(numbered(30, views=2), np.arange(30), device=CPU)
    made = list(batches.in_order(16))
    assert torch.cat([each for each, _ in made])[:, 0].tolist() == list(range(30))
    assert torch.cat([each for each, _ in made])[:, 1].unique().tolist() == [0]
    assert torch.cat([its for _, its in made]).tolist() == list(range(30))


def test_as_many_steps_as_for_images(world: Splits):
    from tinyscope.data.batches import Batches

    features = FeatureBatches(numbered(256), world.train.labels, device=CPU)
    images = Batches(world.train, device=CPU)
    for size in (1, 2, 7, 255, 256, 1000):
        assert features.steps(size) == images.steps(size)
