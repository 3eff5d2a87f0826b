import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import CLASSES, make_images

from tinyscope import explore
from tinyscope.data.dataset import ImageDataset, LeftOut, Splits
from tinyscope.inspection import inspection, learnt
from tinyscope.inspection.augmentation_checks import augmentation_check
from tinyscope.inspection.augmentation_judgements import ClassEffect, Judgement, Measured
from tinyscope.inspection.candidate_augmentations import augmentations
from tinyscope.inspection.checks import CHECKS
from tinyscope.inspection.inspection import inspect
from tinyscope.inspection.linear_probe import ProbeAnswers
from tinyscope.inspection.out_of_sample import Answers, OutOfSample
from tinyscope.plan.recipe_book import sprint
from tinyscope.plan.study import Study
from tinyscope.sweep.local import run_study


def pictures(count: int, *, seed: int, split: str) -> ImageDataset:
    """Textures with detail at every scale, of four classes that differ in colour."""
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.arange(count) % 4).astype(np.int64)
    coarse = draw.normal(0, 40, (count, 2, 2, 3)).repeat(8, 1).repeat(8, 2)
    fine = draw.normal(0, 30, (count, 8, 8, 3)).repeat(2, 1).repeat(2, 2)
    images = 110 + coarse + fine + draw.normal(0, 12, coarse.shape)
    images[..., 0] += 15 * labels[:, None, None]
    return ImageDataset(images.clip(0, 255).astype(np.uint8), labels, CLASSES, split, "textures")


@pytest.fixture(scope="module")
def faulty() -> Splits:
    """Textures with a leak, a copy within a class, a blank image and a lost file."""
    train, test = pictures(256, seed=0, split="train"), pictures(64, seed=2, split="test")
    images = train.images.copy()
    other = int(np.flatnonzero(train.labels == test.labels[5])[0])
    images[other] = test.images[5]
    first, second = np.flatnonzero(train.labels == 0)[2:4]
    images[second] = images[first]
    blank = int(np.flatnonzero(train.labels == 2)[4])
    images[blank] = 200
    lost = (LeftOut("torn.png", "truncated"),)
    return Splits("faulty", replace(train, images=images, left_out=lost), None, test)


@pytest.fixture(scope="module")
def looked_at(faulty):
    return inspect(faulty, training=False)


def found(seen) -> dict[str, list[dict]]:
    return {one["code"]: one["items"] for one in seen.findings}


def test_faults_are_found_and_named(faulty, looked_at):
    items = found(looked_at)
    (leak,) = items["TS008"]
    assert (faulty.train.images[leak["row"]] == faulty.test.images[5]).all()
    assert [(one["split"], one["row"]) for one in leak["others"]] == [("test", 5)]
    (copy,) = items["TS005"]
    (original,) = copy["others"]
    assert (faulty.train.images[copy["row"]] == faulty.train.images[original["row"]]).all()
    assert [(one["file"], one["detail"]) for one in items["TS001"]] == [("torn.png", "truncated")]
    (blank,) = items["TS009"]
    assert (faulty.train.images[blank["row"]] == 200).all()


def test_every_check_has_an_outcome_and_those_that_train_do_not_apply(looked_at):
    status = {one["code"]: one["status"] for one in looked_at.summary["findings"]}
    assert list(status) == list(CHECKS)
    assert {code for code, one in status.items() if one == "not applicable"} == {
        *("TS002", "TS003", "TS004", "TS018"),  # arrays are no files
        *("TS015", "TS017"),
    }


def test_the_answer_for_programs_holds_what_was_found(faulty, looked_at):
    answer = looked_at.as_dict()
    assert json.loads(json.dumps(answer)) == answer
    assert answer["name"] == "faulty"
    assert answer["splits"] == [
        {"split": "train", "images": 256, "found": 257},
        {"split": "test", "images": 64, "found": 64},
    ]
    assert answer["classes"] == list(faulty.train.class_names)
    assert answer["left_out"] == [{"split": "train", "file": "torn.png", "reason": "truncated"}]
    assert [one["code"] for one in answer["findings"]] == sorted(found(looked_at))
    assert [one["code"] for one in answer["checks"]] == list(CHECKS)


def test_page_dictionary_and_contact_sheets_are_written(looked_at, tmp_path):
    page = looked_at.write(tmp_path / "seen")
    names = {path.name for path in page.parent.iterdir()}
    assert names >= {"data.html", "data.json", "TS005.png", "TS008.png", "TS009.png"}
    assert "TS001.png" not in names, "a file that cannot be read has no picture"
    assert json.loads((page.parent / "data.json").read_text()) == looked_at.summary
    assert "Copies on both sides of a split" in page.read_text()


def test_what_was_seen_is_kept_until_an_image_changes(faulty, looked_at, monkeypatch):
    monkeypatch.setattr(inspection, "_looked_at", lambda *args: pytest.fail("looked again"))
    assert inspect(faulty, training=False).summary == looked_at.summary
    images = faulty.train.images.copy()
    images[0, 0, 0] ^= 1
    with pytest.raises(pytest.fail.Exception):
        inspect(replace(faulty, train=replace(faulty.train, images=images)), training=False)


def test_a_study_with_a_review_learns_without_what_was_excluded(faulty, looked_at, tmp_path):
    path = tmp_path / "review.csv"
    assert looked_at.write_review(path).rows == len(path.read_text().splitlines()) - 1
    study = Study(
        name="reviewed",
        recipe="keras-adam",
        seeds=(0,),
        review=str(path),
        overrides={
            "model": "layer-stack",
            "layers": ["conv 4 3x3 same relu", "maxpool 4", "flatten"],
            "epochs": 1,
        },
    )
    summary = run_study(study, faulty, out=tmp_path / "out").summary
    review = summary["data"]["review"]
    assert review["file"] == str(path)
    assert (review["excluded"], review["relabelled"]) == (3, 0)
    unreadable = next(one for one in summary["inspection"]["findings"] if one["code"] == "TS001")
    assert [item["file"] for item in unreadable["items"]] == ["torn.png"]
    assert "Copies on both" not in {
        one["title"] for one in summary["inspection"]["findings"] if one["status"] == "found"
    }
    before = run_study(replace(study, review=""), faulty, out=tmp_path / "before").summary
    leaks = before["variations"][0]["test"]["leaks"]
    test = before["variations"][0]["test"]
    assert leaks["images"] == 1
    assert leaks["accuracy"] in (0.0, 1.0)
    shares = leaks["accuracy"] * 1 / 64 + leaks["accuracy_without"] * 63 / 64
    assert shares == pytest.approx(test["accuracy"])


def answered(splits: Splits, wrong: dict[str, list[int]]) -> OutOfSample:
    """Networks that know every label but those of the rows in `wrong`, which look like the next."""
    answers = {}
    for part in splits.parts():
        seen = part.labels.copy()
        seen[wrong.get(part.split, [])] = (seen[wrong.get(part.split, [])] + 1) % 4
        logits = (8 * np.eye(4)[seen]).astype(np.float32)
        answers[part.split] = Answers(logits, logits, logits.astype(np.float16))
    return OutOfSample(
        answers=answers,
        fold=np.zeros(len(splits.train), np.int64),
        recipe=sprint(),
        folds=2,
        temperature=1.0,
        flop=10**12,
        seconds=1.5,
    )


def knows_nothing(splits: Splits) -> ProbeAnswers:
    """A probe that calls all classes equally likely."""
    logits = {part.split: np.zeros((len(part), 4), np.float32) for part in splits.parts()}
    return ProbeAnswers(logits, flop=10**11, seconds=0.5)


def judged(shape: tuple[int, int, int]) -> Measured:
    """Mirroring is invalid, with a picture; the rest is valid."""
    effect = ClassEffect("edge", 10, 1.0, 0.1, -0.9, (-1.0, -0.8), "bars", 0.9, 0.9)
    judgements = tuple(
        Judgement(
            name=one.name,
            settings=one.settings,
            verdict="invalid" if "horizontal_flip" in one.settings else "valid",
            reason="Because it was said so.",
            accuracy=0.5,
            difference=-0.4,
            interval=(-0.5, -0.3),
            kept=0.2,
            classes=(effect,),
            examples=((3, "bars"),),
        )
        for one in augmentations(*shape)
    )
    return Measured(
        judgements=judgements,
        accuracy=0.9,
        not_applicable="",
    )


@pytest.fixture
def trained(world, monkeypatch):
    """What is made of networks' answers; the networks are tested by themselves."""
    wrong = {"train": [7, 30], "test": [2]}
    monkeypatch.setattr(learnt, "out_of_sample", lambda splits: answered(splits, wrong))
    monkeypatch.setattr(learnt, "probe_answers", knows_nothing)
    shape = world.train.images.shape[1:]
    monkeypatch.setattr(learnt, "measure", lambda dataset: judged(shape))
    return inspect(world)


def test_labels_that_networks_contradict_are_named_with_the_class_they_look_like(world, trained):
    items = found(trained)["TS015"]
    assert {(one["split"], one["row"]) for one in items} == {
        ("train", 7),
        ("train", 30),
        ("test", 2),
    }
    names = world.train.class_names
    for one in items:
        assert one["new_class"] == names[(names.index(one["class"]) + 1) % 4]
        assert one["action"] == ("keep" if one["split"] == "test" else "relabel")


@pytest.mark.parametrize(("fourth", "times"), [("fox", 0), ("cat", 1)])
def test_the_backbone_is_not_asked_about_classes_that_it_may_know_by_heart(
    world, monkeypatch, fourth, times
):
    asked = []

    def probe(splits):
        asked.append(splits.name)
        return knows_nothing(splits)

    monkeypatch.setattr(learnt, "out_of_sample", lambda splits: answered(splits, {"train": [7]}))
    monkeypatch.setattr(learnt, "probe_answers", probe)
    shape = world.train.images.shape[1:]
    monkeypatch.setattr(learnt, "measure", lambda dataset: judged(shape))
    names = ("apple", "bed", "crab", fourth)
    parts = {part.split: replace(part, class_names=names) for part in world.parts()}
    (one,) = (each for each in inspect(Splits("w", **parts)).findings if each["code"] == "TS015")
    assert len(asked) == times
    assert ("The backbone that comes along was not asked" in one["summary"]) is (times == 0)


def test_an_augmentation_of_the_fast_recipes_that_does_not_fit_is_a_finding(trained):
    (item,) = found(trained)["TS017"]
    assert "flip" in item["detail"]
    rows = {row["name"]: row for row in trained.summary["augmentations"]}
    flip = next(row for row in rows.values() if row["recipe_key"] == "horizontal_flip")
    assert (flip["verdict"], flip["drop"]) == ("invalid", 0.4)
    assert flip["interval"] == [0.3, 0.5]
    before, after = (flip["pictures"][0][key] for key in ("before", "after"))
    assert trained.summary["pictures"][before] != trained.summary["pictures"][after]


def test_what_networks_find_hard_is_told_and_the_map_shows_every_class(trained, tmp_path):
    assert trained.summary["learnt"]["accuracy"] == 254 / 256
    assert trained.summary["learnt"]["pairs"][0]["count"] >= 1
    points = trained.summary["map"]["points"]
    assert {point["class"] for point in points} == {0, 1, 2, 3}
    assert all(0 <= point["x"] <= 1 and 0 <= point["y"] <= 1 for point in points)
    assert trained.write(tmp_path).exists()


def test_an_untrained_look_takes_what_trained_networks_have_shown_before(world, trained):
    assert inspect(world, training=False).summary == trained.summary


def test_too_few_images_to_learn_from_are_told_and_the_rest_is_checked():
    tiny = Splits("tiny", make_images(12, seed=0))
    seen = explore(tiny)
    status = {one["code"]: one for one in seen.summary["findings"]}
    assert status["TS015"]["reason"].startswith("because there is too little to learn: world: 12")
    assert not status["TS015"]["reason"].endswith(".")  # the page ends the sentence
    assert status["TS013"]["status"] == "found"
    assert seen.summary["map"]["points"]


def test_a_folder_whose_classes_are_too_small_to_train_on_is_looked_at(tmp_path, tinyscope):
    from PIL import Image

    draw = np.random.default_rng(0)
    for name, count in (("cat", 6), ("dog", 1)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for n in range(count):
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{n}.png")
    answer = tinyscope(
        "data", tmp_path / "pets", "--no-training", "--json", "--out", tmp_path / "seen"
    )
    assert answer.status == 0, answer.err
    said = json.loads(answer.out)
    (small,) = [one for one in said["findings"] if one["code"] == "TS013"]
    assert {(one["class"], one["split"]) for one in small["items"]} == {
        ("cat", "train"),
        ("dog", "train"),
    }


def test_the_command_prints_a_line_for_each_finding_and_the_pages_path(tmp_path, tinyscope):
    review = tmp_path / "review.csv"
    answer = tinyscope(
        *("data", "digits", "--no-training", "--out", tmp_path, "--write-review", review)
    )
    assert answer.status == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0] == "digits: 1,797 images in 10 classes"
    assert lines[-1] == f"Page: {tmp_path / 'data.html'}"
    assert lines[-2].startswith(f"Review: {review} (")
    assert review.exists()


def test_a_data_set_that_is_not_there_is_one_line(tinyscope):
    answer = tinyscope("data", "digts")
    assert answer == (
        2,
        "",
        'Error: Unknown data set "digts". Did you mean "digits"? Run "tinyscope list datasets" to '
        "see all 3.\n",
    )


def test_checks_are_listed_with_how_bad_they_are(tinyscope):
    lines = tinyscope("list", "checks").out.splitlines()
    assert lines[len(CHECKS) - 1].startswith("TS018  note")
    assert lines[7] == "TS008  error    Copies on both sides of a split"


def test_every_check_has_a_section_in_the_docs():
    from pathlib import Path

    page = (Path(__file__).parents[1] / "docs" / "checks.md").read_text()
    for code, check in CHECKS.items():
        section = page.split(f"## {code} ")[1]
        title, _, text = section.partition("\n")
        assert title == check.title
        assert text.startswith(check.severity.capitalize())


def test_images_of_one_split_and_one_channel_are_looked_at():
    grey = make_images(64, seed=3)
    part = ImageDataset(grey.images[..., :1].copy(), grey.labels, grey.class_names, "train", "grey")
    seen = inspect(Splits("grey", part), training=False)
    assert [one["channel"] for one in seen.summary["exploration"]["channels"]] == ["grey"]
    status = {one["code"]: one["status"] for one in seen.summary["findings"]}
    assert status["TS008"] == "not applicable"


def test_a_property_that_tells_all_classes_apart_is_a_shortcut_of_no_single_class():
    draw = np.random.default_rng(0)
    labels = np.arange(400) % 4
    # Every class has a darker and a brighter shade, so that none lies above or below all others.
    shades = np.where(draw.random(400) < 0.5, labels, 7 - labels)
    images = draw.integers(0, 20, (400, 16, 16, 1)) + 30 * shades[:, None, None, None]
    part = ImageDataset(images.astype(np.uint8), labels, CLASSES, "train", "shades")
    seen = inspect(Splits("shades", part), training=False)
    details = {item["detail"] for item in found(seen)["TS016"]}
    assert any("alone names the class of" in text for text in details), details


def test_of_changes_that_too_few_images_tell_nothing_of_the_check_of_augmentations_says_nothing(
    world,
):
    measured = judged(world.train.images.shape[1:])
    unclear = tuple(replace(one, verdict="unclear") for one in measured.judgements)
    outcome = augmentation_check(replace(measured, judgements=unclear))
    assert outcome.not_applicable == (
        "because there are too few images to tell of horizontal flip and shift by up to 2"
    )
    flips = tuple(
        replace(one, verdict="unclear" if "flip" in one.name else "valid")
        for one in measured.judgements
    )
    outcome = augmentation_check(replace(measured, judgements=flips))
    assert (outcome.items, outcome.not_applicable) == ([], "")
    assert outcome.summary == (
        "Not valid for this data: none of those tried. Too few images to tell: horizontal flip, "
        "vertical flip."
    )
