import numpy as np

from tinyscope.data.dataset import ImageDataset, Splits
from tinyscope.inspection.checks import CHECKS
from tinyscope.inspection.findings import Item, Outcome, Place, as_findings

SPLITS = Splits(
    "pets",
    ImageDataset(
        np.zeros((3, 8, 8, 1), np.uint8),
        np.array([0, 1, 1]),
        ("cat", "dog"),
        "train",
        "pets/",
        files=("cat/a.png", "dog/b.png", "dog/c.png"),
    ),
    None,
    ImageDataset(np.zeros((2, 8, 8, 1), np.uint8), np.array([1, 0]), ("cat", "dog"), "test", "p"),
)


def findings(**outcomes: Outcome):
    rest = dict.fromkeys(CHECKS, Outcome())
    return {one["code"]: one for one in as_findings({**rest, **outcomes}, SPLITS)}


def test_every_check_is_there_in_the_order_of_its_code():
    assert list(findings()) == list(CHECKS) == [f"TS{n:03}" for n in range(1, 19)]


def test_a_check_has_found_something_or_nothing_or_does_not_apply():
    found = findings(
        TS005=Outcome(items=[Item(detail="x", place=Place("train", 0))]),
        TS008=Outcome(not_applicable="because there is one split only"),
    )
    assert found["TS005"]["status"] == "found"
    assert found["TS006"]["status"] == "clear"
    assert found["TS008"]["status"] == "not applicable"
    assert found["TS008"]["reason"] == "because there is one split only"


def test_an_image_has_its_file_class_and_others_the_strongest_first():
    items = [
        Item(detail="weak", score=0.2, place=Place("train", 0)),
        Item(
            detail="strong",
            score=0.9,
            place=Place("train", 2),
            others=(Place("test", 1),),
            action="relabel",
            new_class="cat",
        ),
    ]
    strong, weak = findings(TS015=Outcome(items=items))["TS015"]["items"]
    assert strong == {
        "file": "dog/c.png",
        "split": "train",
        "row": 2,
        "class": "dog",
        "detail": "strong",
        "score": 0.9,
        "action": "relabel",
        "new_class": "cat",
        "others": [{"file": "test[1]", "split": "test", "row": 1, "class": "cat"}],
    }
    assert weak["detail"] == "weak"


def test_a_file_that_is_no_image_has_no_row():
    item = Item(detail="truncated", file="cat/torn.png", split="train")
    (plain,) = findings(TS001=Outcome(items=[item]))["TS001"]["items"]
    assert (plain["file"], plain["split"], plain["row"]) == ("cat/torn.png", "train", None)
