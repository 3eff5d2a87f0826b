import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tinyscope as ts
from tinyscope.errors import DataError, InputError

TINY = {
    "model": "layer-stack",
    "layers": ["conv 4 3x3 same relu", "maxpool 4", "flatten"],
    "epochs": 2,
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def result(world, tmp_path_factory):
    study = ts.Study(
        name="tiny",
        recipe="keras-adam",
        overrides=TINY,
        variations={"fast": {"learning_rate": 0.01}},
    )
    return ts.run(study, world, out=tmp_path_factory.mktemp("api") / "tiny", seeds=[0])


def test_a_study_goes_from_data_to_an_answer_for_a_photo(result, world, tmp_path):
    page = result.report(tmp_path / "report.html")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    answer = result.recommended.classifier().predict(world.test.images[0])
    assert answer.class_name in world.test.class_names


def test_evaluating_the_recommended_classifier_gives_the_runs_own_figures(result, world):
    evaluation = ts.evaluate(result.recommended.classifier(), world.test)
    stored = result.recommended.run.predictions("test")
    np.testing.assert_allclose(evaluation.logits, stored.logits, atol=1e-5)
    assert evaluation.accuracy == (stored.logits.argmax(1) == stored.labels).mean()


def test_a_classifier_answers_in_float32_whatever_its_run_was_trained_in(world, tmp_path):
    """The same answers on every machine, also on those without a fast bfloat16."""
    study = ts.Study(
        name="bf16", recipe="keras-adam", overrides={**TINY, "precision": "bf16"}, seeds=(0,)
    )
    classifier = ts.run(study, world, out=tmp_path / "bf16").recommended.classifier()
    seen = []
    for layer in classifier.network.modules():
        layer.register_forward_hook(lambda layer, given, output: seen.append(output.dtype))
    ts.evaluate(classifier, world.test)
    classifier.predict(world.test.images[0])
    assert set(seen) == {torch.float32}


def test_comparing_counts_the_images_that_only_one_model_has_right(result, world):
    evaluations = {}
    for folder in sorted((result.folder / "runs").iterdir()):
        evaluations[folder.name] = ts.evaluate(ts.load_classifier(folder), world.test)
    (comparison,) = ts.compare(evaluations)
    first, second = evaluations.values()
    only_first = int((first.right & ~second.right).sum())
    only_second = int((second.right & ~first.right).sum())
    assert (comparison.test.only_first, comparison.test.only_second) == (only_first, only_second)


def test_evaluations_of_other_images_cannot_be_compared(result, world):
    classifier = result.recommended.classifier()
    with pytest.raises(InputError, match="Only evaluations of the same images"):
        ts.compare(
            {
                "a": ts.evaluate(classifier, world.test),
                "b": ts.evaluate(classifier, world.train),
            }
        )


def test_images_with_other_classes_or_sizes_are_refused(result, world):
    from dataclasses import replace

    classifier = result.recommended.classifier()
    renamed = replace(world.test, class_names=("a", "b", "c", "d"))
    with pytest.raises(InputError, match="expected the same, in the same order"):
        ts.evaluate(classifier, renamed)
    smaller = replace(world.test, images=np.ascontiguousarray(world.test.images[:, :8, :8]))
    with pytest.raises(InputError, match=re.escape("(8, 8, 3), the classifier takes (16, 16, 3)")):
        ts.evaluate(classifier, smaller)


def test_all_splits_where_one_is_evaluated_are_refused_with_what_to_give(result, world):
    with pytest.raises(InputError) as told:
        ts.evaluate(result.recommended.classifier(), world)
    assert str(told.value) == (
        "images is Splits; expected the ImageDataset of one split. load gives all splits of a data "
        "set: take data.test, data.validation or data.train of them."
    )


def test_fewer_than_two_evaluations_cannot_be_compared(result, world):
    one = ts.evaluate(result.recommended.classifier(), world.test)
    for evaluations in ({}, {"a": one}):
        with pytest.raises(InputError) as told:
            ts.compare(evaluations)
        assert str(told.value) == (
            f"evaluations holds {len(evaluations)}; expected two or more by name, each as evaluate "
            "gives it."
        )


def test_the_readmes_python_names_only_what_the_package_has():
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    names = set(re.findall(r"\bts\.(\w+)", code))
    assert {"load", "run"} <= names <= set(ts.__all__)


def test_improving_a_study_is_asked_with_its_folder_and_its_images(result, world, monkeypatch):
    from tinyscope import api

    asked = []
    monkeypatch.setattr(
        api, "carry_out_suggestions", lambda *given, **more: asked.append((given, more)) or result
    )
    assert ts.improve(str(result.folder), steps=1, data=world) is result
    assert asked == [((result.folder,), {"steps": 1, "data": world, "listener": None})]


def test_nouns_show_themselves_in_a_line(result, world):
    assert repr(world.test) == (
        "ImageDataset('world', test: 64 images of 16x16x3, 4 classes, 0 left out)"
    )
    assert "Test accuracy: " in result._repr_html_()
    chosen = result.summary["recommended"]["variation"]
    assert repr(result) == (f"StudyResult('tiny' in '{result.folder}', {result.verdict}: {chosen})")
    assert repr(ts.explore(world, training=False)).startswith("Inspection('world', 384 images: TS")


def test_images_of_a_split_in_the_wrong_place_or_with_other_classes_are_refused(world):
    """Class names in another order would only look like a bad model."""
    reversed_names = world.test.class_names[::-1]
    for change, told in (
        ({"test": world.train}, 'the test images are of the split "train"'),
        ({"test": replace(world.test, class_names=reversed_names)}, "have other classes than"),
        ({"test": replace(world.test, images=world.test.images[:, :8, :8])}, r"are \(8, 8, 3\)"),
    ):
        with pytest.raises(DataError, match=told):
            replace(world, **change)
    with pytest.raises(DataError, match='split "val" is none of train, validation, test'):
        replace(world.test, split="val")
    listed = replace(world.test, class_names=list(world.test.class_names))
    assert listed.class_names == world.test.class_names
    assert listed.fingerprint == world.test.fingerprint


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"budget": "3m"}, r'budget = "3m" is no time; expected seconds, such as 600\.'),
        ({"budget": float("inf")}, "budget = inf is no time"),
        ({"budget": float("nan")}, "budget = nan is no time"),
        ({"seeds": 1.5}, r"seeds = 1\.5 is neither a count"),
        ({"seeds": "3"}, 'seeds = "3" is neither a count'),
        ({"data": "train"}, "data is ImageDataset; expected Splits"),
        ({"size": 8}, "asks for size = 8, and the loaded images are 16x16"),
    ],
)
def test_what_a_study_cannot_be_run_with_is_told_at_once(world, tmp_path, arguments, told):
    study = ts.Study(name="s", overrides=TINY, size=arguments.pop("size", None))
    data = world.train if arguments.pop("data", "") else world
    with pytest.raises(InputError, match=told):
        ts.run(study, data, out=tmp_path / "s", **arguments)
    assert not (tmp_path / "s").exists()


def test_numbers_of_numpy_are_taken_as_any_other(world, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("tinyscope.api.run_study", lambda study, *_, **more: asked.append(study))
    study = ts.Study(name="s", overrides=TINY)
    for seeds, expected in ((np.int64(2), (0, 1)), (np.arange(1, 3), (1, 2)), (range(2), (0, 1))):
        ts.run(study, world, seeds=seeds, budget=np.float32(9))
        assert asked[-1].seeds == expected
        assert {type(seed) for seed in asked[-1].seeds} == {int}


def test_what_is_no_study_is_refused(world):
    with pytest.raises(InputError) as told:
        ts.run(None, world)
    assert str(told.value) == (
        'study is NoneType; expected a Study, a name of "tinyscope list studies", or the path of a '
        ".toml file."
    )


def test_a_split_that_the_source_lacks_is_told_with_what_cuts_it(result, world):
    classifier = result.recommended.classifier()
    plain = ts.Splits("world", world.train)
    with pytest.raises(InputError) as told:
        ts.evaluate(classifier, plain.test)
    assert str(told.value) == (
        "images is None: as loaded, the data set has no such split. complete(data) cuts validation "
        "and test images from the training images, as a study does."
    )
    assert len(ts.evaluate(classifier, ts.complete(plain).test).labels) > 0


def test_a_path_where_a_classifier_is_expected_is_refused(result, world):
    with pytest.raises(InputError) as told:
        ts.evaluate(str(result.folder), world.test)
    assert str(told.value) == (
        "classifier is str; expected a Classifier: load_classifier gives that of a model, run or "
        "study folder."
    )


def test_evaluations_are_compared_by_name(result, world):
    one = ts.evaluate(result.recommended.classifier(), world.test)
    for given, kind in (([one, one], "list"), ({"a": one, "b": 0.9}, "dict")):
        with pytest.raises(InputError) as told:
            ts.compare(given)
        assert str(told.value) == (
            f"evaluations is {kind}; expected a dictionary of evaluations by name, such as "
            '{"base": evaluate(first, images), "wide": evaluate(second, images)}.'
        )


def test_a_count_of_seeds_and_a_single_variation_are_taken_as_on_the_command_line(
    world, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr("tinyscope.api.run_study", lambda study, *_, **__: asked.append(study))
    study = ts.Study(name="s", overrides=TINY, variations={"fast": {"learning_rate": 0.01}})
    ts.run(study, world, seeds=2, only="fast")
    assert (asked[0].seeds, asked[0].only) == ((0, 1), ("fast",))


def test_a_path_is_never_taken_for_the_data_set_of_that_name(here):
    study = ts.Study(name="s", overrides=TINY)
    with pytest.raises(InputError, match=r'There is no "./digits" as seen from'):
        ts.run(study, Path("./digits"), out=here / "s")


def test_pages_of_an_inspection_go_where_a_text_says(world, tmp_path):
    inspection = ts.explore(world, training=False)
    assert inspection.write(str(tmp_path)) == tmp_path / "data.html"
    assert inspection.write_review(str(tmp_path / "r.csv")).rows >= 0
    with pytest.raises(InputError, match="data is ImageDataset"):
        ts.explore(world.train)


def test_evaluations_of_splits_with_the_same_labels_cannot_be_compared(result, world):
    classifier = result.recommended.classifier()
    other = ts.evaluate(classifier, world.test.select(np.arange(64), split="validation"))
    with pytest.raises(InputError, match="Only evaluations of the same images"):
        ts.compare({"a": ts.evaluate(classifier, world.test), "b": other})
