"""Studies on frozen and unfrozen backbones, from beginning to shipped model."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import sklearn
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tinyscope.data.dataset import Splits
from tinyscope.errors import InputError, StorageError
from tinyscope.models.transfer import Extractor
from tinyscope.plan.recipe import Recipe
from tinyscope.plan.study import Study
from tinyscope.shipping.classifier import load_classifier
from tinyscope.shipping.model_folder import copy_model
from tinyscope.sweep import frozen
from tinyscope.sweep.beginnings import beginning
from tinyscope.sweep.estimates import time_recipes, total_seconds
from tinyscope.sweep.frozen import FrozenBackbone
from tinyscope.sweep.local import run_study
from tinyscope.sweep.planned import plan_runs
from tinyscope.training.cost import image_flop

FAST = {
    "model": "whitened-cnn",
    "widths": (8, 16),
    "optimizer": "muon",
    "learning_rate": 0.2,
    "momentum": 0.6,
    "epochs": 4,
    "batch_size": 32,
    "precision": "fp32",
}
TRANSFER = {
    "model": "transfer",
    "pooling": "max",
    "optimizer": "adam",
    "learning_rate": 0.05,
    "epochs": 6,
    "batch_size": 32,
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def taught(world, tmp_path_factory):
    """The folder of a finished study whose network is a backbone for others."""
    study = Study(name="taught", base=False, variations={"one": FAST}, seeds=(0,))
    return run_study(study, world, out=tmp_path_factory.mktemp("taught") / "s").folder


def turned(world: Splits) -> Splits:
    """Other images than those that the backbone was trained on."""
    parts = [replace(part, images=part.images[:, :, ::-1].copy()) for part in world.parts()]
    return Splits("turned", *parts)


def test_a_transfer_is_refused_where_its_first_batch_would_fail(world, taught):
    recipe = Recipe().changed({**TRANSFER, "backbone": str(taught), "head": ("batchnorm",)})
    single = beginning(replace(recipe, batch_size=1), world)
    with pytest.raises(InputError) as told:
        single.network()
    assert str(told.value) == (
        "batch_size = 1 does not go with transfer, whose batch norm compares the images of a "
        "batch. Use 2 or more; 32 is usual."
    )
    # The backbone's own norms compare nothing.
    assert beginning(replace(recipe, batch_size=1, head=()), world).network()[0].training
    flat = {"pooling": "flatten", "backbone_layer": "groups.0", "unfrozen_blocks": 1}
    halved = recipe.changed({**flat, "training_sizes": (0.5, 1.0)})
    with pytest.raises(InputError, match=r"training_sizes = \[0.5, 1\] does not go with transfer"):
        beginning(halved, world).network()


@pytest.fixture(scope="module")
def made(world, taught, tmp_path_factory):
    on = {**TRANSFER, "backbone": str(taught)}
    study = Study(
        name="carried",
        base=False,
        seeds=(0, 1),
        variations={
            "dense": on,
            "forest": {**on, "classifier": "random-forest"},
            "shifted": {**on, "shift": 2, "feature_views": 3},
            "inner": {**on, "backbone_layer": "groups.0", "pooling": "mean"},
            "mirrored": {
                **on,
                "horizontal_flip": True,
                "feature_views": 2,
                "test_views": "mirrored-and-moved",
            },
            "tuned": {**on, "unfrozen_blocks": 1, "epochs": 2, "start_from": "dense"},
        },
    )
    return run_study(study, turned(world), out=tmp_path_factory.mktemp("carried") / "s")


def runs_of(made, variation):
    [block] = [each for each in made.summary["variations"] if each["name"] == variation]
    return [made.folder / "runs" / run["name"] for run in block["runs"]]


def stored(folder, split):
    with np.load(folder / f"predictions-{split}.npz") as file:
        return file["logits"].astype(np.float64)


def shares(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("name", ["dense", "forest", "shifted", "inner", "mirrored", "tuned"])
def test_a_shipped_model_answers_as_its_run_did(made, world, name):
    for folder in runs_of(made, name):
        found = load_classifier(folder).probabilities(turned(world).test.images)
        # Kept features are half precision.
        np.testing.assert_allclose(found, shares(stored(folder, "test")), atol=2e-3)


def test_features_tell_the_classes_of_images_that_the_backbone_never_saw(made):
    accuracy = {each["name"]: each["test"]["accuracy"] for each in made.summary["variations"]}
    assert all(accuracy[name] > 0.85 for name in ("dense", "forest", "shifted", "tuned")), accuracy


def test_a_frozen_backbone_stays_as_it_was_and_an_unfrozen_block_does_not(made, taught):
    before = load_file(taught / "model" / "weights.safetensors")

    def kept(folder):
        after = load_file(folder / "weights.safetensors")
        return {
            name: torch.equal(each, after[name.replace("network.", "network.backbone.network.", 1)])
            for name, each in before.items()
            if ".head." not in name and name.startswith("network.")
        }

    for name in ("dense", "shifted"):
        assert all(kept(runs_of(made, name)[0]).values())
    tuned = kept(runs_of(made, "tuned")[0])
    learnt = ("convolutions", "norms.0.bias", "norms.1.bias")
    assert {name for name, same in tuned.items() if not same} == {
        name for name in tuned if "groups.1" in name and any(part in name for part in learnt)
    }


def test_a_variation_goes_on_from_the_weights_of_another_with_the_same_seed(
    made, taught, world, tmp_path
):
    on = {**TRANSFER, "backbone": str(taught)}
    still = {**on, "unfrozen_blocks": 1, "epochs": 1, "learning_rate": 0.0, "start_from": "dense"}
    study = Study(name="still", base=False, seeds=(0, 1), variations={"still": still, "dense": on})
    again = run_study(study, turned(world), out=tmp_path / "s")
    for folder, parent in zip(runs_of(again, "still"), runs_of(made, "dense"), strict=True):
        after, before = (load_file(each / "weights.safetensors") for each in (folder, parent))
        heads = [name for name in before if ".head." in name]
        assert heads
        assert all(torch.equal(after[name], before[name]) for name in heads)


def test_what_a_run_begins_with_is_part_of_its_name(made, taught, world, tmp_path):
    on = {**TRANSFER, "backbone": str(taught)}
    tuned = {**on, "unfrozen_blocks": 1, "epochs": 2}
    study = Study(name="own", base=False, seeds=(0,), variations={"tuned": tuned})
    folder = run_study(study, turned(world), out=tmp_path / "s").folder
    [run] = (folder / "runs").iterdir()
    assert run.name not in {each.name for each in runs_of(made, "tuned")}


def test_images_pass_a_frozen_backbone_once_for_all_seeds_heads_and_studies(
    made, taught, world, tmp_path, monkeypatch
):
    def refused(*arguments, **keywords):
        raise AssertionError("an image passed the backbone again")

    monkeypatch.setattr("tinyscope.features.extraction._compute", refused)
    on = {**TRANSFER, "backbone": str(taught), "head": ["batchnorm"], "epochs": 2}
    study = Study(name="other", base=False, seeds=(5,), variations={"other": on})
    run_study(study, turned(world), out=tmp_path / "s")


def test_an_interrupted_head_ends_with_the_same_weights(made, taught, world, tmp_path):
    from tinyscope.sweep.listener import Listener

    class Stops(Listener):
        def epoch(self, run, row):
            if row["epoch"] == 4:
                raise KeyboardInterrupt

    on = {**TRANSFER, "backbone": str(taught)}
    study = Study(name="cut", base=False, seeds=(0,), variations={"dense": on})
    data = turned(world)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, data, out=tmp_path / "s", listener=Stops())
    run_study(study, data, out=tmp_path / "s")
    [run] = (tmp_path / "s" / "runs").iterdir()
    whole = runs_of(made, "dense")[0]
    assert run.name == whole.name
    assert (run / "weights.safetensors").read_bytes() == (
        whole / "weights.safetensors"
    ).read_bytes()
    assert stored(run, "test").tobytes() == stored(whole, "test").tobytes()


def test_the_recommended_model_brings_its_forest_along(world, taught, tmp_path):
    on = {**TRANSFER, "backbone": str(taught)}
    forest = {**on, "classifier": "random-forest"}
    study = Study(name="s", base=False, seeds=(0,), variations={"forest": forest})
    data = turned(world)
    folder = run_study(study, data, out=tmp_path / "s").folder
    assert sorted(each.name for each in (folder / "model").iterdir()) == [
        "classifier.skops", "model.json", "weights.safetensors",
    ]  # fmt: skip
    told = json.loads((folder / "model" / "model.json").read_text())
    assert told["scikit_learn"] == sklearn.__version__
    found = load_classifier(folder).probabilities(data.test.images)
    [run] = (folder / "runs").iterdir()
    np.testing.assert_allclose(found, shares(stored(run, "test")), atol=1e-6)
    # A dense model that comes later takes the forest away.
    dense = Study(name="s", base=False, seeds=(0,), variations={"dense": on})
    run_study(dense, data, out=tmp_path / "s")
    assert sorted(each.name for each in (folder / "model").iterdir()) == [
        "model.json", "weights.safetensors",
    ]  # fmt: skip


def test_arithmetic_counts_each_pass_of_each_training_image(made, taught, world):
    start = beginning(Recipe(**TRANSFER, backbone=str(taught)), world)
    wrapped, _ = start.network()
    once = image_flop(Extractor(wrapped), shape=(16, 16, 3)).forward
    assert once > 0
    counted = {
        name: json.loads((runs_of(made, name)[0] / "result.json").read_text())["train_flop"]
        for name in ("dense", "forest", "shifted")
    }
    head = 6 * 256 * 2 * 2 * 16 * 4  # epochs, images, forward and kernel, its numbers
    assert counted == {
        "dense": 256 * once + head,
        "forest": 256 * once,
        "shifted": 3 * 256 * once + head,
    }


def test_a_model_of_scikit_learn_has_a_history_of_one_row(made):
    rows = (runs_of(made, "forest")[0] / "history.csv").read_text().splitlines()
    assert len(rows) == 2
    row = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    predictions = stored(runs_of(made, "forest")[0], "validation")
    assert row["epoch"] == "1"
    assert float(row["train_accuracy"]) > 0.95
    assert 0 < float(row["val_loss"]) < np.log(4)
    assert len(predictions) == 64


def test_a_refitted_classifier_is_tested_and_ships_with_what_the_validation_images_taught_it(
    taught, world, tmp_path
):
    data = turned(world)
    once = {**TRANSFER, "backbone": str(taught), "classifier": "logistic-regression"}
    views = {"horizontal_flip": True, "feature_views": 2}
    study = Study(
        name="again",
        base=False,
        seeds=(0,),
        variations={"once": {**once, **views}, "again": {**once, **views, "refit": True}},
    )
    done = run_study(study, data, out=tmp_path / "s")
    first, second = (runs_of(done, name)[0] for name in ("once", "again"))
    np.testing.assert_array_equal(stored(first, "validation"), stored(second, "validation"))
    assert not np.allclose(stored(first, "test"), stored(second, "test"))
    assert any(
        "“again” learnt from the validation images too" in each for each in done.summary["limits"]
    )

    recipe = Recipe(**once, **views, refit=True)
    backbone = FrozenBackbone(beginning(recipe, data))
    parts = [(part, view) for view in backbone.views for part in (data.train, data.validation)]
    features = [backbone.features(part, view).values.astype(np.float32) for part, view in parts]
    labels = np.concatenate([part.labels for part, _ in parts])
    alike = make_pipeline(StandardScaler(), LogisticRegression(C=0.005, max_iter=1000))
    alike.fit(np.concatenate(features), labels)
    asked = backbone.features(data.test).values.astype(np.float32)
    expected = alike.predict_proba(asked)
    np.testing.assert_allclose(shares(stored(second, "test")), expected, atol=1e-5)
    shipped = load_classifier(second).probabilities(data.test.images)
    np.testing.assert_allclose(shipped, expected, atol=2e-3)

    flop = [
        json.loads((each / "result.json").read_text())["train_flop"] for each in (first, second)
    ]
    assert flop[1] * 256 == flop[0] * (256 + 64)


def test_a_transfer_of_a_transfer_is_one_too(made, world, tmp_path):
    parent = runs_of(made, "tuned")[0]
    on = {**TRANSFER, "backbone": str(parent)}
    study = Study(name="twice", base=False, seeds=(0,), variations={"again": on})
    folder = run_study(study, world, out=tmp_path / "s").folder
    found = load_classifier(folder).probabilities(world.test.images)
    [run] = (folder / "runs").iterdir()
    np.testing.assert_allclose(found, shares(stored(run, "test")), atol=2e-3)


def test_a_transfer_of_grey_images_is_a_backbone_too(world, taught, tmp_path):
    """Its network takes colours, and it is asked with grey pixels, which its shell spreads."""
    parts = [replace(part, images=part.images[..., :1].copy()) for part in world.parts()]
    grey = Splits("grey", *parts)
    first = {**TRANSFER, "backbone": str(taught), "epochs": 1}
    study = Study(name="grey", base=False, seeds=(0,), variations={"one": first})
    parent = run_study(study, grey, out=tmp_path / "one").folder
    second = {**TRANSFER, "backbone": str(parent), "epochs": 1}
    study = Study(name="greyer", base=False, seeds=(0,), variations={"two": second})
    child = run_study(study, grey, out=tmp_path / "two").folder
    found = load_classifier(child).probabilities(grey.test.images)
    [run] = (child / "runs").iterdir()
    np.testing.assert_allclose(found, shares(stored(run, "test")), atol=2e-3)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mean": [0.0, 0.0]}, "the backbone's mean is not 1 or 3 numbers."),
        ({"mean": [0.0, 0.0, float("nan")]}, "the backbone's mean is not 1 or 3 numbers."),
        ({"deviation": [1.0]}, "the backbone's deviation is not 3 numbers above 0."),
        ({"deviation": [1.0, 0.0, 1.0]}, "the backbone's deviation is not 3 numbers above 0."),
    ],
)
def test_a_normalization_of_a_backbone_that_was_edited_is_one_line(made, tmp_path, changes, told):
    folder = tmp_path / "model"
    copy_model(runs_of(made, "dense")[0], folder)
    content = json.loads((folder / "model.json").read_text())
    content["backbone"].update(changes)
    (folder / "model.json").write_text(json.dumps(content))
    with pytest.raises(StorageError) as caught:
        load_classifier(folder)
    assert str(caught.value) == f"{folder} is damaged as a model folder: {told}"


def test_of_a_head_with_layers_the_last_one_before_the_classes_is_the_cut(world, taught, tmp_path):
    first = {**TRANSFER, "backbone": str(taught), "epochs": 1, "head": ("dense 7 relu",)}
    study = Study(name="hidden", base=False, seeds=(0,), variations={"one": first})
    parent = run_study(study, world, out=tmp_path / "one").folder
    backbone = beginning(Recipe(**{**TRANSFER, "backbone": str(parent)}), world).backbone
    shape = world.train.preprocessing
    pixels = torch.zeros(1, len(backbone.mean), shape.height, shape.width)
    assert backbone.network(pixels).shape == (1, 7)


def test_a_name_comes_before_a_folder_that_is_called_so(world, taught, tmp_path, monkeypatch):
    """Or a study called like its backbone could not be resumed."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(taught, tmp_path / "cifar100-backbone")
    named = begins(world, backbone="cifar100-backbone").backbone
    folder = begins(world, backbone="./cifar100-backbone").backbone
    assert len(named.layers) != len(folder.layers)


def test_variations_with_one_backbone_hold_it_once(world, taught, tmp_path):
    on = {**TRANSFER, "backbone": str(taught)}
    changes = {
        "one": on,
        "slow": {**on, "learning_rate": 0.01},
        "other": {**on, "backbone_layer": "groups.0"},
    }
    study = Study(name="s", base=False, variations=changes, seeds=(0,))
    planned = plan_runs(study, world, tmp_path)
    held = [id(start.backbone.network) for start in planned.begun().values()]
    assert held[0] == held[1] != held[2]


def begins(world, **changes):
    return beginning(Recipe(**{**TRANSFER, **changes}), world)


def test_a_layer_that_does_not_exist_is_told_with_those_that_do(world, taught):
    with pytest.raises(InputError) as told:
        begins(world, backbone=str(taught), backbone_layer="groups.7")
    assert str(told.value) == (
        'Unknown layer "groups.7". Did you mean "groups.1"? Its layers are: whitening, groups, '
        "groups.0, groups.1, head."
    )


def test_images_below_the_backbones_smallest_are_refused(world, taught):
    parts = [replace(part, images=part.images[:, :6, :6].copy()) for part in world.parts()]
    small = Splits("small", *parts)
    with pytest.raises(InputError) as told:
        begins(small, backbone=str(taught))
    assert str(told.value) == (
        "Backbone s at layer groups takes images of 8 pixels a side or more; these are 6x6. Set "
        "backbone_size = 8 or more, or another backbone_layer."
    )


def test_weights_do_not_go_with_a_folder_that_has_its_own(world, taught):
    with pytest.raises(InputError) as told:
        begins(world, backbone=str(taught), backbone_weights="w.safetensors")
    assert str(told.value) == (
        f'backbone_weights = "w.safetensors" does not go with the backbone {taught}, a folder that '
        "holds its own."
    )


def test_a_backbone_that_is_trained_again_is_another_one(world, tmp_path):
    digests = set()
    for seed in (0, 1):
        study = Study(name="b", base=False, variations={"b": {**FAST, "epochs": 1}}, seeds=(seed,))
        folder = run_study(study, world, out=tmp_path / "s").folder
        digests.add(begins(world, backbone=str(folder)).digest)
    assert len(digests) == 2


def test_weights_that_are_gone_are_told(made, taught, world, tmp_path):
    on = {**TRANSFER, "backbone": str(taught)}
    tuned = {**on, "unfrozen_blocks": 1, "epochs": 1, "start_from": "dense"}
    study = Study(name="gone", base=False, seeds=(0,), variations={"dense": on, "tuned": tuned})
    data = turned(world)
    start = begins(data, backbone=str(taught), unfrozen_blocks=1)
    from tinyscope.sweep.planned import plan_runs

    planned = plan_runs(study, data, tmp_path / "s")
    assert [run.variation for run in planned.missing] == ["dense", "tuned"]
    parent = planned.runs[0]
    with pytest.raises(StorageError) as told:
        start.going_on_from(parent).network()
    assert str(told.value).startswith(f"{parent.folder}: its weights cannot be taken over: ")


def test_an_output_of_zeros_tells_an_unfrozen_backbone_nothing_at_first(world, taught):
    settings = {"unfrozen_blocks": 1, "initializer": "zero-output", "head": ["dense 8 relu"]}
    network, _ = begins(world, backbone=str(taught), **settings).network()
    logits = network.train()(torch.from_numpy(world.train.images[:8]))
    assert not logits.any()
    logits[:, 0].sum().backward()
    learns = [each for each in network.parameters() if each.requires_grad]
    assert len(learns) > 4
    moved = [each for each in learns if each.grad.any()]
    assert {tuple(each.shape) for each in moved} == {(4, 8), (4,)}


def test_an_estimate_counts_features_once_that_several_runs_use(
    world, taught, tmp_path, monkeypatch
):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path))
    monkeypatch.setattr(FrozenBackbone, "seconds_an_image", lambda self, images: 1.0)
    on = Recipe().changed({**TRANSFER, "backbone": str(taught), "classifier": "random-forest"})
    mirrored = replace(on, horizontal_flip=True, feature_views=2, test_views="mirrored", refit=True)
    recipes = {"one": on, "other": replace(on, classifier="rbf-svm"), "mirrored": mirrored}
    timings = time_recipes({name: beginning(each, world) for name, each in recipes.items()})
    train, rest = len(world.train), len(world.validation) + len(world.test)
    once = train + rest
    assert total_seconds([("one", on)] * 3, timings) == pytest.approx(once)
    # Mirrored: another view of each, and the validation images in the view that is learnt from.
    assert total_seconds(recipes.items(), timings) == pytest.approx(
        2 * once + len(world.validation)
    )
    FrozenBackbone(beginning(on, world)).features(world.train)
    timings = time_recipes({"one": beginning(on, world)})
    assert total_seconds([("one", on)], timings) == pytest.approx(rest)


def test_features_are_known_once_they_were_asked_for(world, taught, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path))
    backbone = FrozenBackbone(begins(world, backbone=str(taught)))
    assert not backbone.knows(world.train)
    backbone.features(world.train)
    assert backbone.knows(world.train)
    assert not backbone.knows(world.validation)


def test_two_layers_with_the_same_weights_have_features_of_their_own(world, tmp_path):
    layers = ["conv 4 3x3 same", "relu", "avgpool 2", "flatten", "dense 8 relu"]
    stack = {"model": "layer-stack", "layers": layers, "epochs": 1, "precision": "fp32"}
    study = Study(name="b", base=False, variations={"b": stack}, seeds=(0,))
    folder = run_study(study, world, out=tmp_path / "s").folder
    found = [
        FrozenBackbone(
            begins(world, backbone=str(folder), backbone_layer=layer, pooling="flatten")
        ).features(world.test)
        for layer in ("0", "1", "2")
    ]
    assert not np.array_equal(found[0].values, found[1].values)
    assert not np.array_equal(found[1].values, found[2].values)


def test_a_pass_is_timed_with_as_many_images_as_pass_together(world, taught, monkeypatch):
    backbone = FrozenBackbone(begins(world, backbone=str(taught), backbone_size=128))
    passed = []

    def watched(network, pixels, *, precision):
        passed.append(len(pixels))
        return pixels.float()

    monkeypatch.setattr(frozen, "forward", watched)
    assert backbone.seconds_an_image(world.train) > 0
    assert passed == [64, 64] * 2  # of 128, twice; 256 x 64^2 / 128^2
