import json

import numpy as np
import pytest
import torch
from PIL import Image

from tinyscope.data.dataset import Preprocessing
from tinyscope.errors import InputError, StorageError
from tinyscope.plan.recipe import Recipe
from tinyscope.shipping.classifier import copy_model, load_classifier, save_model
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


def test_an_array_of_another_shape_is_refused(folder):
    with pytest.raises(InputError) as told:
        load_classifier(folder).predict(np.zeros((8, 8, 3), np.uint8))
    assert str(told.value) == (
        "An array of uint8 (8, 8, 3) is no image for this model; expected uint8 (16, 16, 3)."
    )


def test_what_is_no_path_no_bytes_and_no_array_is_refused(folder):
    with pytest.raises(InputError, match="A bytearray is no image for a model"):
        load_classifier(folder).predict(bytearray(b"x"))


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
    save_model(
        tmp_path,
        trained.network,
        recipe=recipe,
        class_names=world.train.class_names,
        preprocessing=world.train.preprocessing,
        card={},
    )
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


def test_a_preprocessing_is_part_of_the_model(folder):
    assert load_classifier(folder).preprocessing == Preprocessing(16, 16, 3)
