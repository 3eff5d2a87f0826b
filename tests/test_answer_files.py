import csv
import io
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tinyscope.data.dataset import Preprocessing
from tinyscope.errors import InputError, StorageError
from tinyscope.models import zoo
from tinyscope.models.pixel_input import PixelInput
from tinyscope.shipping import answer_files
from tinyscope.shipping.answer_files import AnswerFiles, answers
from tinyscope.shipping.classifier import Classifier
from tinyscope.shipping.photos import find_photos

CLASSES = ("bars", "=cmd, x", "dots", "edge")
BROKEN = "3.png"


@pytest.fixture(scope="module")
def classifier():
    network = zoo.build(
        "layer-stack",
        layers=["conv 4 3x3 same relu", "maxpool 4", "flatten"],
        initializer="torch",
        channels=3,
        classes=4,
        height=16,
        width=16,
    )
    wrapped = PixelInput(network, mean=[100.0] * 3, deviation=[60.0] * 3)
    return Classifier(wrapped, class_names=CLASSES, preprocessing=Preprocessing(16, 16, 3))


def encoded(number):
    random = np.random.default_rng(number)
    stream = io.BytesIO()
    Image.fromarray(random.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


ORDER = ["1.png", "2.png", BROKEN, "10.png", "11.png"]


@pytest.fixture
def folder(tmp_path):
    """Five photos, the one in the middle cut off."""
    (tmp_path / "photos").mkdir()
    for name in ORDER:
        content = encoded(int(name.split(".")[0]))
        (tmp_path / "photos" / name).write_bytes(content[:60] if name == BROKEN else content)
    return tmp_path / "photos"


def write(classifier, given, **files):
    with AnswerFiles(classifier.class_names, **files) as written:
        for answer in answers(classifier, find_photos([str(given)]), top=4):
            written.add(answer)
    return written


def alone(classifier, folder, name):
    """What the classifier says of one file by itself."""
    return classifier.predict(folder / name, top=4)


def test_a_csv_file_has_a_row_for_every_photo_with_every_probability(classifier, folder, tmp_path):
    written = write(classifier, folder, csv=tmp_path / "a.csv")
    assert written.paths == [tmp_path / "a.csv"]
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    shares = [f"probability_{name}" for name in CLASSES]
    assert header == ["file", "class", "probability", *shares, "error"]
    assert [row[0] for row in rows] == [str(folder / name) for name in ORDER]
    for name, row in zip(ORDER, rows, strict=True):
        single = alone(classifier, folder, name)
        if name == BROKEN:
            assert row[1:] == ["", "", "", "", "", "", single.error]
            continue
        assert row[1] == single.class_name
        assert float(row[2]) == pytest.approx(single.probability, abs=1e-6)
        expected = [dict(single.top)[label] for label in CLASSES]
        assert [float(cell) for cell in row[3:7]] == pytest.approx(expected, abs=1e-6)
        assert row[7] == ""


def test_a_parquet_file_holds_the_same_table(classifier, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(answer_files, "_PARQUET_ROWS", 2)
    write(classifier, folder, csv=tmp_path / "a.csv", parquet=tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert table.column_names == header
    assert [str(kind) for kind in table.schema.types[:3]] == ["string", "string", "double"]
    told = [
        ["" if cell is None else str(cell) for cell in row.values()] for row in table.to_pylist()
    ]
    assert told == rows
    assert table["error"].null_count == 4


def test_a_kaggle_file_has_ids_in_the_order_of_the_photos(classifier, folder, tmp_path):
    (folder / BROKEN).unlink()
    write(classifier, folder, kaggle=tmp_path / "k.csv", kaggle_columns=("Id", "Category"))
    with (tmp_path / "k.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["Id", "Category"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "10", "11"]
    assert [row[1] for row in rows[1:]] == [
        alone(classifier, folder, f"{row[0]}.png").class_name for row in rows[1:]
    ]


def test_where_a_photo_fails_there_is_no_kaggle_file_and_the_tables_are_written(
    classifier, folder, tmp_path
):
    (tmp_path / "k.csv").write_text("before")
    written = write(classifier, folder, csv=tmp_path / "a.csv", kaggle=tmp_path / "k.csv")
    assert written.not_written == (
        f"{tmp_path}/k.csv was not written: 1 of 5 images have no answer ({folder}/3.png: "
        f"{alone(classifier, folder, BROKEN).error}), and there every id needs a label."
    )
    assert written.paths == [tmp_path / "a.csv"]
    assert (tmp_path / "k.csv").read_text() == "before"
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 6


def test_zip_and_parquet_files_are_answered_as_the_single_files_are(classifier, folder, tmp_path):
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": (folder / name).read_bytes(), "path": name} for name in ORDER]
    pq.write_table(pa.table({"image": pa.array(rows, struct)}), tmp_path / "p.parquet")
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted(ORDER):
            packed.write(folder / name, name)
    singles = [alone(classifier, folder, name) for name in ORDER]
    for given in (folder, tmp_path / "p.zip", tmp_path / "p.parquet"):
        found = list(answers(classifier, find_photos([str(given)]), top=4))
        assert [answer.photo.id for answer in found] == ["1", "2", "3", "10", "11"]
        assert [answer.prediction.file for answer in found] == [f"{given}/{n}" for n in ORDER]
        assert [answer.prediction.error for answer in found] == [one.error for one in singles]
        for answer, single in zip(found, singles, strict=True):
            assert answer.prediction.class_name == single.class_name
            assert dict(answer.prediction.top) == pytest.approx(dict(single.top), abs=1e-6)


def test_faults_and_groups_keep_the_order(classifier, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(answer_files, "_GROUP", 2)
    (tmp_path / "no.zip").write_bytes(b"no")
    given = [str(tmp_path / "no.zip"), str(folder), str(tmp_path / "no.zip"), str(folder / "1.png")]
    found = [answer.prediction for answer in answers(classifier, find_photos(given), top=1)]
    expected = [given[0], *(str(folder / name) for name in ORDER), given[0], given[3]]
    assert [one.file for one in found] == expected
    assert found[1].top == found[-1].top
    assert found[0].error == found[6].error == "damaged, or no zip file (File is not a zip file)"


def test_photos_in_memory_are_bounded_by_their_bytes(monkeypatch):
    monkeypatch.setattr(answer_files, "_GROUP_BYTES", 100)
    photos = [answer_files.Photo(str(k), str(k), bytes(60)) for k in range(5)]
    assert [len(group) for group in answer_files._groups(photos)] == [2, 2, 1]


def test_what_ends_the_writing_leaves_every_file_as_it_was(classifier, folder, tmp_path):
    files = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "parquet", "kaggle")}
    for path in files.values():
        path.write_text("before")

    def interrupted():
        with AnswerFiles(classifier.class_names, **files) as written:
            for answer in answers(classifier, find_photos([str(folder / "1.png")]), top=4):
                written.add(answer)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.read_text() for path in files.values()] == ["before"] * 3
    assert not list(tmp_path.rglob("*.part"))


def test_two_photos_with_one_id_are_refused_for_kaggle(classifier, folder, tmp_path):
    (folder / "deep").mkdir()
    (folder / "deep" / "2.jpg").write_bytes(encoded(2))
    with pytest.raises(InputError) as told:
        write(classifier, folder, kaggle=tmp_path / "k.csv")
    assert str(told.value) == (
        f"{folder}/2.png and {folder}/deep/2.jpg would both have the id 2 in {tmp_path}/k.csv. "
        "Give only the images of one set, without copies in other formats."
    )
    assert not (tmp_path / "k.csv").exists()


def test_a_folder_or_one_name_for_two_files_is_refused_before_anything_is_asked(tmp_path):
    with pytest.raises(InputError) as told:
        AnswerFiles(CLASSES, csv=tmp_path)
    assert str(told.value) == f"{tmp_path} is a folder; expected the name of a file to write."
    with pytest.raises(InputError) as told:
        AnswerFiles(CLASSES, csv=tmp_path / "a", kaggle=tmp_path / "x" / ".." / "a")
    assert str(told.value) == f"Two kinds of files would have the same name {tmp_path}/x/../a."


@pytest.mark.parametrize("name", ["photos/2.png", "link.csv", "photos/../photos/10.png"])
def test_a_photo_that_a_file_would_replace_ends_the_writing_and_nothing_is_changed(
    classifier, folder, tmp_path, name
):
    (tmp_path / "link.csv").symlink_to(folder / "1.png")
    (tmp_path / "k.csv").write_text("before")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for given in (folder, folder / "*.png"):
        with pytest.raises(InputError) as told:
            write(classifier, given, csv=tmp_path / name, kaggle=tmp_path / "k.csv")
        assert str(told.value) == (
            f"{tmp_path / name} is read as images; what is written would replace them. Give it "
            "another name."
        )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_zip_and_parquet_files_that_photos_are_read_from_are_not_replaced(
    classifier, folder, tmp_path
):
    (tmp_path / "packed").mkdir()
    with zipfile.ZipFile(tmp_path / "packed" / "z.zip", "w") as packed:
        packed.write(folder / "1.png", "1.png")
    rows = pa.table({"image": [encoded(1)]})
    pq.write_table(rows, tmp_path / "packed" / "p.parquet")
    with zipfile.ZipFile(tmp_path / "packed" / "none.zip", "w") as packed:
        packed.writestr("notes.txt", "no photo")
    for given, name in (
        ("packed/*.zip", "z.zip"),
        ("packed/*.zip", "none.zip"),
        ("packed/*.parquet", "p.parquet"),
    ):
        before = (tmp_path / "packed" / name).read_bytes()
        with pytest.raises(InputError, match=f"{name} is read as images"):
            write(classifier, tmp_path / given, parquet=tmp_path / "packed" / name)
        assert (tmp_path / "packed" / name).read_bytes() == before
    (tmp_path / "shards").mkdir()
    pq.write_table(rows, tmp_path / "shards" / "p.parquet")
    with pytest.raises(InputError, match=r"p\.parquet is read as images"):
        write(classifier, tmp_path / "shards", parquet=tmp_path / "shards" / "p.parquet")


def test_a_table_that_is_no_photo_may_be_replaced_where_the_photos_are(
    classifier, folder, tmp_path
):
    (folder / "a.csv").write_text("before")
    (folder / BROKEN).unlink()
    write(classifier, folder, csv=folder / "a.csv", parquet=folder / "new.parquet")
    assert len((folder / "a.csv").read_text().splitlines()) == 5
    assert (folder / "new.parquet").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet", "kaggle"])
def test_a_file_of_a_model_is_refused_before_anything_is_asked(tmp_path, kind):
    for name in ("model.json", "weights.safetensors"):
        (tmp_path / name).write_text("kept")
        with pytest.raises(InputError) as told:
            AnswerFiles(CLASSES, **{kind: tmp_path / name})
        assert str(told.value) == (
            f"{tmp_path / name} keeps a part of a study or model; what is written would replace "
            "it. Give it another name."
        )


def test_a_place_that_cannot_be_written_is_told_at_once_and_leaves_nothing(classifier, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        AnswerFiles(CLASSES, csv=tmp_path / "a.csv", parquet=tmp_path / "file" / "b").__enter__()
    with pytest.raises(StorageError, match="cannot be written"):
        AnswerFiles(CLASSES, csv=tmp_path / "a.csv", kaggle=tmp_path / "file" / "k").__enter__()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file"]
