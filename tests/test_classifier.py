import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from tinyscope.data.dataset import Preprocessing
from tinyscope.errors import InputError, StorageError
from tinyscope.models import zoo
from tinyscope.models.pixel_input import PixelInput
from tinyscope.models.views import with_views
from tinyscope.plan.recipe import Recipe
from tinyscope.shipping.classifier import load_classifier
from tinyscope.shipping.model_folder import copy_model, save_model
from tinyscope.training.trainer import train

RECIPE = Recipe(
    model="layer-stack",
    layers=("conv 8 3x3 same batchnorm relu", "maxpool 2", "flatten"),
    learning_rate=0.02,
    epochs=6,
    batch_size=32,
    precision="fp32",
)


@pytest.fixture(scope="module")
def trained(world):
    return train(world, RECIPE)


@pytest.fixture
def folder(world, trained, tmp_path):
    save_model(
        tmp_path / "model",
        trained.network,
        recipe=RECIPE,
        class_names=world.train.class_names,
        preprocessing=world.train.preprocessing,
        card={"data": "world"},
    )
    return tmp_path / "model"


def test_a_loaded_model_gives_the_same_logits_bit_for_bit(folder, trained, world):
    loaded = load_classifier(folder)
    pixels = torch.from_numpy(world.test.images)
    with torch.inference_mode():
        assert torch.equal(loaded.network(pixels), trained.network(pixels))


def test_a_model_folder_holds_names_and_preprocessing_and_no_pickle(folder):
    assert {path.name for path in folder.iterdir()} == {"model.json", "weights.safetensors"}
    content = json.loads((folder / "model.json").read_text())
    assert content["class_names"] == ["bars", "blank", "dots", "edge"]
    assert [content["preprocessing"][key] for key in ("height", "width", "channels")] == [16, 16, 3]


def test_photos_of_any_size_are_answered_with_class_names(folder, world, tmp_path):
    loaded = load_classifier(folder)
    for name, size in (("same", 16), ("large", 640)):
        image = Image.fromarray(world.test.images[0]).resize((size, size), Image.Resampling.NEAREST)
        image.save(tmp_path / f"{name}.png")
        answer = loaded.predict(tmp_path / f"{name}.png")
        assert answer.class_name == world.test.class_names[world.test.labels[0]]
    wide = Image.new("RGB", (900, 300), "white")
    wide.save(tmp_path / "wide.jpg")
    assert loaded.predict(tmp_path / "wide.jpg").error is None


def test_an_image_of_the_training_size_gets_the_logits_of_its_pixels(folder, world, tmp_path):
    loaded = load_classifier(folder)
    Image.fromarray(world.test.images[3]).save(tmp_path / "a.png")
    by_file = loaded.predict(tmp_path / "a.png")
    by_pixels = loaded.predict(world.test.images[3])
    assert by_file.top == by_pixels.top


def test_probabilities_sum_to_one_and_fall(folder, world):
    answer = load_classifier(folder).predict(world.test.images[5], top=10)
    shares = [share for _, share in answer.top]
    assert len(shares) == 4
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    assert answer.probability == shares[0]


def test_a_broken_photo_is_an_error_and_the_others_are_answered_in_order(folder, world, tmp_path):
    good = tmp_path / "good.png"
    Image.fromarray(world.test.images[0]).save(good)
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:60])
    answers = list(
        load_classifier(folder).predict_each([good, broken, tmp_path / "none.png", good])
    )
    assert [answer.error is None for answer in answers] == [True, False, False, True]
    assert answers[0].top == answers[3].top
    assert answers[1].as_dict() == {
        "file": str(broken),
        "class": None,
        "probability": None,
        "top": [],
        "cannot_tell": None,
        "error": answers[1].error,
    }


def test_more_photos_than_a_batch_are_all_answered(folder, world):
    images = [world.test.images[number % 64] for number in range(300)]
    loaded = load_classifier(folder)
    answers = list(loaded.predict_each(images))
    assert len(answers) == 300
    assert [answer.class_name for answer in answers[:64]] == [
        answer.class_name for answer in answers[64:128]
    ]


def test_many_or_large_images_are_computed_a_few_at_a_time(folder, world):
    loaded = load_classifier(folder)
    pixels = world.test.images[np.arange(1100) % 64]
    expected = loaded.probabilities(world.test.images)
    seen = []
    loaded.network.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    found = loaded.probabilities(pixels)
    assert seen == [512, 512, 76]
    np.testing.assert_allclose(found, expected[np.arange(1100) % 64], atol=1e-6)
    assert loaded.probabilities(pixels[:0]).shape == (0, 4)


def test_a_camera_is_answered_frame_by_frame(folder, world):
    taken = []

    def frames():
        for number in range(6):
            taken.append(number)
            yield world.test.images[number]

    answers = load_classifier(folder).predict_each(frames(), batch=2)
    next(answers)
    assert taken == [0, 1]
    next(answers), next(answers)
    assert taken == [0, 1, 2, 3]
    assert len(list(answers)) == 3


def test_large_files_are_not_read_ahead_by_their_number_alone(folder, monkeypatch):
    monkeypatch.setattr("tinyscope.shipping.classifier._BATCH_BYTES", 100)
    taken = []
    files = (taken.append(number) or b"x" * 60 for number in range(9))
    assert next(load_classifier(folder).predict_each(files)).error
    assert taken == [0, 1]


@pytest.mark.parametrize(("batch", "shown"), [(0, "0"), ("8", '"8"'), (1.5, "1.5")])
def test_fewer_than_one_image_cannot_be_read_at_once(folder, batch, shown):
    with pytest.raises(InputError) as told:
        load_classifier(folder).predict_each([], batch=batch)
    assert str(told.value) == f"batch = {shown} is no count of images; expected 1 or more."


def test_an_array_of_another_shape_is_refused(folder):
    with pytest.raises(InputError) as told:
        load_classifier(folder).predict(np.zeros((8, 8, 3), np.uint8))
    assert str(told.value) == (
        "An array of uint8 (8, 8, 3) is no image for this model; expected uint8 (16, 16, 3)."
    )


def test_what_is_no_path_no_bytes_and_no_array_is_refused(folder):
    with pytest.raises(InputError, match="A bytearray is no image for a model"):
        load_classifier(folder).predict(bytearray(b"x"))


@pytest.mark.parametrize("single", ["img", Path("img"), b"img"])
def test_a_single_image_where_several_are_expected_is_refused_at_once(folder, single):
    """The letters of a path would be answered as files of their own."""
    with pytest.raises(InputError) as told:
        load_classifier(folder).predict_each(single)
    given = "the bytes of a file" if isinstance(single, bytes) else '"img"'
    assert str(told.value) == (
        f"images is {given}, a single image; expected several, such as a list of them. predict "
        "takes one."
    )


@pytest.mark.parametrize(("top", "shown"), [(0, "0"), (-1, "-1"), ("5", '"5"')])
def test_fewer_than_one_class_cannot_be_named(folder, world, top, shown):
    loaded = load_classifier(folder)
    for asked in (loaded.predict, lambda image, top: loaded.predict_each([image], top=top)):
        with pytest.raises(InputError) as told:
            asked(world.test.images[0], top=top)
        assert str(told.value) == f"top = {shown} is no count of classes; expected 1 or more."


@pytest.mark.parametrize(
    ("pixels", "given"),
    [
        (np.zeros((16, 16, 3), np.uint8), "An array of uint8 (16, 16, 3)"),
        (np.zeros((2, 8, 16, 3), np.uint8), "An array of uint8 (2, 8, 16, 3)"),
        (np.zeros((1, 16, 16, 3), np.float32), "An array of float32 (1, 16, 16, 3)"),
        ([[1, 2]], "pixels is list"),
    ],
)
def test_probabilities_of_what_is_no_batch_of_images_are_refused(folder, pixels, given):
    with pytest.raises(InputError) as told:
        load_classifier(folder).probabilities(pixels)
    told_of = " holds no images for this model" if isinstance(pixels, np.ndarray) else ""
    assert str(told.value) == f"{given}{told_of}; expected uint8 (N, 16, 16, 3)."


def test_mirrored_and_read_only_arrays_are_answered_as_any_other(folder, world):
    loaded = load_classifier(folder)
    mirrored = world.test.images[:, :, ::-1]
    read_only = mirrored.copy()
    read_only.setflags(write=False)
    expected = loaded.probabilities(mirrored.copy())
    np.testing.assert_array_equal(loaded.probabilities(mirrored), expected)
    np.testing.assert_array_equal(loaded.probabilities(read_only), expected)


def test_a_place_that_is_a_file_takes_no_model(folder, tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        copy_model(folder, tmp_path / "taken")


def test_a_folder_without_a_model_is_named_with_what_is_expected(tmp_path):
    with pytest.raises(InputError) as told:
        load_classifier(tmp_path)
    assert str(told.value) == (
        f"{tmp_path} holds no model. Expected a model folder, a finished run's folder or a "
        'finished study\'s folder. Run "tinyscope list runs FOLDER" to see all runs below a folder.'
    )


@pytest.mark.parametrize(
    "damage", ["truncated weights", "other layers", "other views", "no json", "no card", "later"]
)
def test_a_damaged_model_folder_is_one_clear_line(folder, damage):
    weights, card = folder / "weights.safetensors", folder / "model.json"
    content = json.loads(card.read_text())
    if damage == "truncated weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "other layers":
        card.write_text(json.dumps(content | {"layers": ["flatten"]}))
    elif damage == "other views":
        card.write_text(json.dumps(content | {"test_views": "mirored"}))
    elif damage == "no json":
        card.write_text("{")
    elif damage == "no card":
        del content["card"]
        card.write_text(json.dumps(content))
    else:
        card.write_text(json.dumps(content | {"format": 2}))
    with pytest.raises(StorageError) as told:
        load_classifier(folder)
    assert "\n" not in str(told.value)
    expected = "was written by a later version" if damage == "later" else "is damaged as a model"
    assert str(told.value).startswith(f"{folder} {expected}")


def edited(folder, changes):
    card = folder / "model.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"layers": [1]}, "layers = [1] is not a list of texts"),
        ({"model": 5}, "model = 5 is not a text"),
        ({"epsilon": "x"}, 'epsilon = "x" is not a number above 0'),
        ({"epsilon": float("nan")}, "epsilon = nan is not a number above 0"),
        ({"class_names": "abcd"}, "class_names is not a list of different texts"),
        ({"class_names": ["a", "b", "c", 4]}, "class_names is not a list of different texts"),
        ({"class_names": ["a", "b", "c", "a"]}, "class_names is not a list of different texts"),
        ({"class_names": ["a", "b", "c"]}, "network.5.bias is (4,) in weights.safetensors and"),
        ({"preprocessing": {"height": "16", "width": 16, "channels": 3}}, 'height = "16" is not'),
        ({"preprocessing": {"height": 16, "width": 16, "channels": 1}}, "network.0.weight is (8,"),
        ({"card": []}, "card is not a table of values"),
        ({"sha256": {"../x": ""}}, 'sha256 names "../x", which is no part of a model'),
        ({"sha256": 1}, "'int' object has no attribute 'items'"),
    ],
)
def test_values_of_a_model_folder_that_were_edited_are_one_line(folder, changes, told):
    edited(folder, changes)
    with pytest.raises(StorageError) as caught:
        load_classifier(folder)
    assert str(caught.value).startswith(f"{folder} is damaged as a model folder: {told}")
    assert "\n" not in str(caught.value)


def test_what_is_no_table_at_all_is_no_model(folder):
    (folder / "model.json").write_text("[]")
    with pytest.raises(StorageError, match="is damaged as a model folder: "):
        load_classifier(folder)


def test_a_network_too_large_for_its_weights_is_refused_before_it_takes_memory(folder, monkeypatch):
    made, register = [], nn.Module.register_parameter

    def noted(module, name, parameter):
        made.append(parameter)
        register(module, name, parameter)

    monkeypatch.setattr(nn.Module, "register_parameter", noted)
    monkeypatch.setattr(nn.Module, "to_empty", lambda module, **_: made.append(torch.zeros(1)))
    wide = {"model": "whitened-cnn", "widths": [8, 4096, 4096], "depth": 2}
    edited(folder, wide)
    with pytest.raises(StorageError, match=r"in the network that model\.json describes"):
        load_classifier(folder)
    weights = [each for each in made if each is not None]
    assert weights
    assert all(each.is_meta for each in weights)


def rewritten(folder, change):
    """Other weights, of which model.json has no digest, as earlier versions wrote it."""
    weights = load_file(folder / "weights.safetensors")
    change(weights)
    save_file(weights, folder / "weights.safetensors")
    content = json.loads((folder / "model.json").read_text())
    del content["sha256"]
    (folder / "model.json").write_text(json.dumps(content))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(folder, value):
    rewritten(folder, lambda weights: weights["network.0.weight"].view(-1)[:1].fill_(value))
    with pytest.raises(StorageError) as told:
        load_classifier(folder)
    assert str(told.value) == (
        f"{folder} is damaged as a model folder: weights.safetensors holds values of "
        "network.0.weight that are no finite numbers."
    )


def test_a_normalization_of_other_channels_is_refused(folder):
    def longer(weights):
        weights["mean"], weights["scale"] = torch.ones(5), torch.ones(5)

    rewritten(folder, longer)
    with pytest.raises(StorageError, match="is damaged as a model folder: "):
        load_classifier(folder)


def test_a_model_of_an_earlier_version_has_no_digests_and_is_read(folder, world):
    expected = load_classifier(folder).probabilities(world.test.images)
    rewritten(folder, lambda weights: None)
    found = load_classifier(folder).probabilities(world.test.images)
    np.testing.assert_array_equal(found, expected)


def test_weights_that_were_exchanged_are_told_by_their_digest(folder):
    path = folder / "weights.safetensors"
    content = json.loads((folder / "model.json").read_text())
    assert content["sha256"] == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    with pytest.raises(StorageError) as told:
        load_classifier(folder)
    assert str(told.value) == (
        f"{folder} is damaged as a model folder: weights.safetensors is not the file that "
        "model.json was written with: its SHA-256 differs."
    )


def test_loading_a_model_draws_from_no_generator(folder):
    before = torch.get_rng_state()
    load_classifier(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_image_that_a_model_has_no_number_for_gets_an_error(folder, world):
    loaded = load_classifier(folder)

    class Overflowing(nn.Module):
        def forward(self, pixels):
            return torch.where(pixels[:, :1, 0, 0] > 0, torch.inf, torch.zeros(len(pixels), 4))

    loaded.network = Overflowing()
    images = [np.full((16, 16, 3), level, np.uint8) for level in (0, 1)]
    first, second = loaded.predict_each(images)
    assert first.class_name == "bars"
    assert second.as_dict() == {
        "file": "",
        "class": None,
        "probability": None,
        "top": [],
        "cannot_tell": None,
        "error": "the model's answer is no number",
    }


def test_a_network_that_only_another_version_has_is_told_with_the_models_folder(folder):
    card = folder / "model.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"model": "zz"}))
    with pytest.raises(StorageError) as told:
        load_classifier(folder)
    assert str(told.value).startswith(
        f"{folder} cannot be used, perhaps because another version of Tinyscope wrote it: Unknown "
        'model "zz". '
    )


def test_a_format_of_a_model_that_is_no_number_is_told(folder):
    card = folder / "model.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"format": "1"}))
    with pytest.raises(StorageError) as told:
        load_classifier(folder)
    assert str(told.value) == (
        f'{folder} is damaged as a model folder: format = "1" is not a whole number.'
    )


def kept(folder: Path, network: nn.Module, recipe: Recipe, world) -> None:
    """Writes the model folder of a network that was trained on the small world."""
    save_model(
        folder,
        network,
        recipe=recipe,
        class_names=world.train.class_names,
        preprocessing=world.train.preprocessing,
        card={},
    )


def test_a_model_folder_says_what_shapes_its_network_and_how_it_looks(world, tmp_path):
    recipe = Recipe(
        model="whitened-cnn",
        widths=(6, 8),
        depth=3,
        horizontal_flip=True,
        test_views="mirrored",
        epochs=1,
        batch_size=64,
    )
    trained = train(world, recipe)
    kept(tmp_path, trained.network, recipe, world)
    content = json.loads((tmp_path / "model.json").read_text())
    expected = {"model": "whitened-cnn", "widths": [6, 8], "depth": 3, "test_views": "mirrored"}
    assert {key: content[key] for key in expected} == expected
    pixels = torch.from_numpy(world.test.images)
    with torch.inference_mode():
        seen = (trained.network(pixels) + trained.network(pixels.flip(2))) / 2
    shares = load_classifier(tmp_path).probabilities(world.test.images)
    np.testing.assert_allclose(shares, seen.double().softmax(1).numpy(), atol=1e-6)


def test_a_model_folder_from_before_there_were_views_is_still_read(folder, world):
    card = folder / "model.json"
    before = load_classifier(folder).probabilities(world.test.images)
    content = json.loads(card.read_text())
    for key in ("widths", "depth", "test_views"):
        del content[key]
    card.write_text(json.dumps(content))
    after = load_classifier(folder).probabilities(world.test.images)
    np.testing.assert_array_equal(after, before)


def test_a_whitened_network_answers_with_the_norms_that_it_was_trained_with(world, tmp_path):
    recipe = Recipe(model="whitened-cnn", widths=(6, 8), epochs=1, batch_size=64, precision="fp32")
    trained = train(world, recipe)
    for each in trained.network.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.running_var.mul_(1e-3)  # so small that what is added to it shows
    kept(tmp_path, trained.network, recipe, world)

    def answers() -> np.ndarray:
        return load_classifier(tmp_path).probabilities(world.test.images)

    def expected(epsilon: float) -> np.ndarray:
        trained.network.network.epsilon = epsilon
        with torch.inference_mode():
            logits = trained.network(torch.from_numpy(world.test.images))
        return logits.double().softmax(1).numpy()

    card = tmp_path / "model.json"
    content = json.loads(card.read_text())
    assert content["epsilon"] == 1e-3
    now = answers()
    np.testing.assert_allclose(now, expected(1e-3), atol=1e-6)
    del content["epsilon"]  # as earlier versions wrote it
    card.write_text(json.dumps(content))
    np.testing.assert_allclose(answers(), expected(1e-12), atol=1e-6)
    assert np.abs(answers() - now).max() > 0.01


@pytest.mark.parametrize("model", zoo.MODELS)
def test_every_model_ships_with_the_same_answers(model, tmp_path):
    shape = Preprocessing(32, 36, 3)
    recipe = Recipe(model=model, widths=(4, 6), horizontal_flip=True, test_views="mirrored")
    network = zoo.build(model, widths=(4, 6), **shape._asdict(), classes=3)
    wrapped = PixelInput(network, mean=(120, 121, 122), deviation=(60, 61, 62)).eval()
    names = ("a", "b", "c")
    save_model(tmp_path, wrapped, recipe=recipe, class_names=names, preprocessing=shape, card={})
    pixels = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    with torch.inference_mode():
        expected = with_views(wrapped, "mirrored")(pixels)
        assert torch.equal(load_classifier(tmp_path).network(pixels), expected)


def test_a_preprocessing_is_part_of_the_model(folder):
    assert load_classifier(folder).preprocessing == Preprocessing(16, 16, 3)
