"""`tinyscope predict`: what it takes, prints and writes."""

import json
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny_study import STUDY

from tinyscope.sweep.local import run_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder of a finished study of digits."""
    short = replace(STUDY.with_overrides({"epochs": 1}), seeds=(0,))
    return run_study(short, out=tmp_path_factory.mktemp("study") / "out").folder


def test_predict_prints_classes_with_probabilities(study, tinyscope, here):
    Image.new("L", (300, 200), 128).save("photo.jpg")
    answer = tinyscope("predict", study, "photo.jpg")
    assert answer.status == 0
    assert re.fullmatch(r"photo\.jpg: \d [\d.]+%  \d [\d.]+%  \d [\d.]+%\n", answer.out)


def test_brackets_in_a_file_name_are_no_pattern_on_windows_either(
    study, tinyscope, here, monkeypatch
):
    """There no shell expands patterns, and click would: "img[1].png" would be img1.png alone."""

    class Windows:
        name = "nt"

        def __getattr__(self, attribute):
            return getattr(os, attribute)

    Image.new("L", (30, 20)).save("img[1].png")
    Image.new("L", (30, 20)).save("img1.png")
    monkeypatch.setattr(click.core, "os", Windows())
    answer = tinyscope("predict", study, "img[1].png")
    assert (answer.status, answer.out.split(":")[0], answer.err) == (0, "img[1].png", "")


def test_predict_answers_the_others_when_a_photo_is_broken_and_exits_with_3(study, tinyscope, here):
    Image.new("L", (30, 20)).save("a.png")
    Path("b.jpg").write_bytes(b"<html>not found</html>")
    Image.new("RGB", (3000, 20)).save("c.webp")
    answer = tinyscope("predict", study, "a.png", "b.jpg", "c.webp")
    assert answer.status == 3
    assert [line.split(":")[0] for line in answer.out.splitlines()] == ["a.png", "c.webp"]
    assert answer.err == "b.jpg: not an image\n"
    rows = json.loads(tinyscope("predict", study, ".", "--json").out)
    assert [row["error"] for row in rows] == [None, "not an image", None]
    assert set(rows[0]) == {"file", "class", "probability", "top", "cannot_tell", "error"}


def test_predict_prints_no_line_that_a_files_name_has_forged(study, tinyscope, here):
    forged = "a\nb.png: 1 100.0%\x1b[8m"
    Image.new("L", (30, 20)).save(here / "x.png")
    for name in (f"{forged}.png", f"{forged}.jpg"):
        (here / name).write_bytes((here / "x.png").read_bytes() if name.endswith("png") else b"no")
    answer = tinyscope("predict", study, f"{forged}.png", f"{forged}.jpg")
    assert answer.status == 3
    assert answer.out.startswith(r"a\nb.png: 1 100.0%\x1b[8m.png: ")
    assert answer.err == r"a\nb.png: 1 100.0%\x1b[8m.jpg: not an image" + "\n"
    assert answer.out.count("\n") == 1


def test_a_table_for_programs_holds_names_as_they_are(study, tinyscope, here):
    Image.new("L", (30, 20)).save(here / "=1+1.png")
    assert tinyscope("predict", study, "=1+1.png", "--csv", "a.csv").status == 0
    assert (here / "a.csv").read_text().splitlines()[1].startswith("=1+1.png,")


def test_predict_takes_a_runs_folder_and_a_model_folder_too(study, tinyscope, here):
    Image.new("L", (8, 8), 200).save("a.png")
    chosen = json.loads((study / "summary.json").read_text())["recommended"]["run"]
    answers = {
        tinyscope("predict", place, "a.png").out
        for place in (study, study / "model", study / "runs" / chosen)
    }
    assert len(answers) == 1


def test_predict_writes_tables_and_a_kaggle_file_in_natural_order(study, tinyscope, here):
    (here / "photos").mkdir()
    for number in (10, 2, 1):
        Image.new("L", (8, 8), number * 20).save(here / "photos" / f"{number}.png")
    answer = tinyscope(
        *("predict", study, "photos", "--csv", "a.csv", "--parquet", "a.parquet"),
        *("--kaggle", "k.csv", "--kaggle-columns", "Id,Label"),
    )
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        f"{here / name}: 3 images" for name in ("a.csv", "a.parquet", "k.csv")
    ]
    submission = Path("k.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in submission] == ["Id", "1", "2", "10"]
    rows = json.loads(tinyscope("predict", study, "photos", "--json").out)
    assert [line.split(",")[1] for line in submission[1:]] == [row["class"] for row in rows]
    assert [len(row["top"]) for row in rows] == [3, 3, 3]
    assert (
        Path("a.csv")
        .read_text()
        .splitlines()[0]
        .startswith("file,class,probability,probability_0,probability_1,")
    )


def test_a_broken_image_is_in_the_table_and_keeps_the_kaggle_file_from_being_written(
    study, tinyscope, here
):
    (here / "photos").mkdir()
    for number in (1, 10):
        Image.new("L", (8, 8), number * 20).save(here / "photos" / f"{number}.png")
    (here / "photos" / "2.png").write_bytes(b"no")
    answer = tinyscope("predict", study, "photos", "--csv", "a.csv", "--kaggle", "k.csv")
    assert answer.status == 3
    assert answer.out == f"{here / 'a.csv'}: 3 images, 1 of them without an answer\n"
    assert answer.err.splitlines() == [
        "photos/2.png: not an image",
        "Error: k.csv was not written: 1 of 3 images have no answer (photos/2.png: not an image), "
        "and there every id needs a label.",
    ]
    assert not Path("k.csv").exists()
    assert Path("a.csv").read_text().splitlines()[2].endswith(",not an image")


def test_zip_files_and_parquet_files_are_images_for_predict(study, tinyscope, here):
    Image.new("L", (8, 8), 90).save("1.png")
    content = Path("1.png").read_bytes()
    with zipfile.ZipFile("z.zip", "w") as packed:
        packed.writestr("x/1.png", content)
    pq.write_table(pa.table({"image": [{"bytes": content, "path": "1.png"}]}), "p.parquet")
    rows = json.loads(tinyscope("predict", study, "1.png", "z.zip", "p.parquet", "--json").out)
    assert [row["file"] for row in rows] == ["1.png", "z.zip/x/1.png", "p.parquet/1.png"]
    assert rows[0]["top"] == rows[1]["top"] == rows[2]["top"]


def test_a_folder_without_photos_is_told_with_exit_status_3(study, tinyscope, here):
    (here / "none").mkdir()
    answer = tinyscope("predict", study, "none")
    assert (answer.status, answer.out) == (3, "")
    assert answer.err.startswith("Error: none holds no photos: expected image files")


def test_predict_replaces_no_photo_of_a_folder_and_no_file_of_its_model(study, tinyscope, here):
    (here / "img").mkdir()
    for number in range(3):
        Image.new("L", (8, 8), number * 20).save(here / "img" / f"{number}.png")
    before = Path("img/1.png").read_bytes()
    for given in ("img", "img/*.png"):
        assert tinyscope("predict", study, given, "--csv", "img/1.png") == (
            2,
            "",
            "Error: img/1.png is read as images; what is written would replace them. Give it "
            "another name.\n",
        )
    assert Path("img/1.png").read_bytes() == before
    weights = study / "model" / "weights.safetensors"
    before = weights.read_bytes()
    answer = tinyscope("predict", study, "img", "--csv", weights)
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith(f"Error: {weights} keeps a part of a study or model; ")
    assert weights.read_bytes() == before
    assert sorted(path.name for path in here.iterdir()) == ["img"]


def test_a_name_that_is_no_utf_8_is_spelled_alike_wherever_it_is_told(study, tinyscope, here):
    try:
        Path(os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
        Path(os.fsdecode(b"s\xe9\xe9n.png")).touch()
    except OSError:
        pytest.skip("this disk takes no such name")
    Image.new("L", (30, 20)).save(os.fsdecode(b"s\xe9\xe9n.png"), "PNG")
    told = r"caf\xe9.png"
    answer = tinyscope("predict", study, ".", "--csv", "a.csv", "--parquet", "a.parquet")
    assert answer.err == f"{told}: empty file\n"
    assert pq.read_table("a.parquet")["file"].to_pylist() == [told, r"s\xe9\xe9n.png"]
    rows = Path("a.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [told, r"s\xe9\xe9n.png"]
    answer = tinyscope("predict", study, ".", "--json")
    assert [row["file"] for row in json.loads(answer.out)] == [told, r"s\xe9\xe9n.png"]
    answer = tinyscope("predict", study, os.fsdecode(b"s\xe9\xe9n.png"))
    assert answer.out.startswith(r"s\xe9\xe9n.png: ")
    assert f"({told}: empty file)" in tinyscope("predict", study, ".", "--kaggle", "k.csv").err
