import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tinyscope.data import catalogue, hub_parquet
from tinyscope.data.dataset import LeftOut
from tinyscope.errors import DataError

NAMES = ["zebra", "ant"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "animals"
    place.mkdir()
    return place


def picture(seed, size=(16, 12), form="PNG"):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    options = {"lossless": True} if form == "WEBP" else {}
    Image.fromarray(pixels).save(buffer, form, **options)
    return pixels, buffer.getvalue()


def write(path, images, labels, *, names=NAMES, image="img", label="label", binary=False):
    kind = pa.binary() if binary else pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = images if binary else [{"bytes": data, "path": None} for data in images]
    table = pa.table({image: pa.array(values, kind), label: pa.array(labels)})
    if names is not None:
        features = {image: {"_type": "Image"}, label: {"_type": "ClassLabel", "names": names}}
        described = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": described})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)


def pictures(count, **options):
    return [picture(seed, **options)[1] for seed in range(count)]


def fault(folder):
    with pytest.raises(DataError) as raised:
        hub_parquet.load(folder)
    return str(raised.value).replace(f"{folder}/", "")


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("below", ["", "data/", "plain_text/"])
def test_shards_are_read_in_order(folder, form, below):
    made = [picture(seed, form=form) for seed in range(9)]
    data = [encoded for _, encoded in made]
    write(folder / f"{below}train-00000-of-00002.parquet", data[:4], [0, 1, 0, 1])
    write(folder / f"{below}train-00001-of-00002.parquet", data[4:6], [1, 0])
    write(folder / f"{below}test-00000-of-00001.parquet", data[6:], [1, 1, 0])
    splits = hub_parquet.load(folder)
    assert splits.name == "animals"
    assert splits.validation is None
    assert splits.train.class_names == ("zebra", "ant")
    assert splits.train.labels.tolist() == [0, 1, 0, 1, 1, 0]
    assert splits.test.labels.tolist() == [1, 1, 0]
    np.testing.assert_array_equal(splits.train.images, [pixels for pixels, _ in made[:6]])
    np.testing.assert_array_equal(splits.test.images, [pixels for pixels, _ in made[6:]])
    assert splits.train.files[4] == "train-00001-of-00002.parquet[0]"


@pytest.mark.parametrize("image", ["img", "image"])
@pytest.mark.parametrize("label", ["label", "labels", "fine_label"])
@pytest.mark.parametrize("binary", [True, False])
def test_usual_columns_are_found(folder, image, label, binary):
    write(
        folder / "train.parquet",
        pictures(6),
        [0, 1] * 3,
        image=image,
        label=label,
        binary=binary,
    )
    write(folder / "validation.parquet", pictures(2), [0, 1], image=image, label=label)
    splits = hub_parquet.load(folder)
    assert splits.train.counts() == [3, 3]
    assert splits.validation.counts() == [1, 1]


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (["dog", "cat"] * 3, ("cat", "dog"), [1, 0] * 3),
        ([10, 9] * 3, ("10", "9"), [0, 1] * 3),  # sorted as strings
    ],
)
def test_without_metadata_the_labels_are_the_class_names(folder, labels, names, expected):
    write(folder / "train.parquet", pictures(6), labels, names=None)
    train = hub_parquet.load(folder).train
    assert train.class_names == names
    assert train.labels.tolist() == expected


def test_images_of_one_size_keep_it_and_others_are_resized(folder):
    write(folder / "train.parquet", pictures(6, size=(96, 28)), [0, 1] * 3)
    assert hub_parquet.load(folder).train.images.shape == (6, 96, 28, 3)
    assert hub_parquet.load(folder, size=20).train.images.shape == (6, 20, 20, 3)
    write(folder / "train.parquet", pictures(6, size=(97, 97)), [0, 1] * 3)
    assert hub_parquet.load(folder).train.images.shape == (6, 64, 64, 3)
    mixed = pictures(3, size=(30, 30)) + pictures(3, size=(30, 31))
    write(folder / "train.parquet", mixed, [0, 1] * 3)
    assert hub_parquet.load(folder).train.images.shape == (6, 32, 32, 3)


def test_rows_that_cannot_be_decoded_are_left_out(folder):
    data = pictures(8)
    data[1], data[2] = data[1][:60], None
    write(folder / "train.parquet", data, [0, 0, 1, 1, 0, 1, 0, 1])
    train = hub_parquet.load(folder).train
    assert train.left_out == (
        LeftOut("train.parquet[1]", "truncated"),
        LeftOut("train.parquet[2]", "empty file"),
    )
    assert train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    np.testing.assert_array_equal(train.images[1], picture(3)[0])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 1, 0, 1, 2, 0], "train.parquet[4]: label 2 is none of the 2 classes of the training "
         "shards."),
        ([0, 1, 0, -1, 1, 0], "train.parquet[3]: label -1 is none of the 2 classes of the "
         "training shards."),
        ([0, None, 0, 1, 1, 0], "train.parquet[1]: no label."),
        ([0.5] * 6, "train.parquet: column label is double; expected integers or strings."),
        ([0] * 6, 'animals/: train: too few images of "ant" (0); each class needs at least 3, one '
         "each to train and to validate and to test."),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_are_a_fault_with_their_row(folder, labels, expected):
    write(folder / "train.parquet", pictures(6), labels)
    assert fault(folder) == expected


def test_a_test_label_that_training_lacks_is_a_fault(folder):
    write(folder / "train.parquet", pictures(6), ["cat", "dog"] * 3, names=None)
    write(folder / "test.parquet", pictures(2), ["cat", "owl"], names=None)
    assert fault(folder) == (
        "test.parquet[1]: label 'owl' is none of the 2 classes of the training shards."
    )


def test_shards_that_name_classes_otherwise_are_a_fault(folder):
    write(folder / "train.parquet", pictures(6), [0, 1] * 3)
    write(folder / "test.parquet", pictures(2), [0, 1], names=NAMES[::-1])
    assert fault(folder) == (
        "test.parquet: its class names are not those of the first train shard."
    )


def test_a_missing_column_is_a_fault_that_names_those_found(folder):
    write(folder / "train.parquet", pictures(6), [0, 1] * 3, label="kind")
    assert fault(folder) == (
        "train.parquet: no label column. Found img, kind; expected label or labels or fine_label."
    )
    write(folder / "train.parquet", pictures(6), [0, 1] * 3, image="pixels")
    assert fault(folder) == (
        "train.parquet: no image column. Found pixels, label; expected img or image."
    )


def test_an_image_column_of_another_kind_is_a_fault(folder):
    pq.write_table(pa.table({"img": [1, 2], "label": [0, 1]}), folder / "train.parquet")
    assert fault(folder) == (
        "train.parquet: column img is int64; expected binary, or a struct with bytes."
    )


def describe(path, described):
    """Another description of the columns than the one that the hub would write."""
    table = pq.read_table(path).replace_schema_metadata({"huggingface": json.dumps(described)})
    pq.write_table(table, path)


DAMAGED = "train.parquet: its huggingface metadata are damaged: found"
NAMED = "train.parquet: its huggingface metadata name the class"


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (None, f'{DAMAGED} null where a table with "info" was expected.'),
        ({"info": None}, f'{DAMAGED} null where a table with "features" was expected.'),
        ({"info": {"features": None}}, f'{DAMAGED} null where a table with "label" was expected.'),
        (
            {"info": {"features": ["img", "label"]}},
            f'{DAMAGED} ["img", "label"] where a table with "label" was expected.',
        ),
        (
            {"info": {"features": {"label": None}}},
            f'{DAMAGED} null where a table with "names" was expected.',
        ),
    ],
)
def test_a_description_of_another_form_is_a_fault(folder, described, expected):
    write(folder / "train.parquet", pictures(6), [0, 1] * 3)
    describe(folder / "train.parquet", described)
    assert fault(folder) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (5, f'{NAMED}es of label by 5; expected a list of texts, such as ["cat", "dog"].'),
        (
            {"0": "a", "1": "b"},
            f'{NAMED}es of label by {{"0": "a", "1": "b"}}; expected a list of texts, such as '
            '["cat", "dog"].',
        ),
        ("ab", f'{NAMED}es of label by "ab"; expected a list of texts, such as ["cat", "dog"].'),
        (
            ["a", None],
            f'{NAMED}es of label by ["a", null]; expected a list of texts, such as ["cat", "dog"].',
        ),
        (["a", "a"], f"{NAMED} 'a', twice; expected different texts."),
        (["a", "\ud800"], rf"{NAMED} '\ud800', which is no Unicode; expected different texts."),
    ],
)
def test_class_names_that_are_no_list_of_texts_are_a_fault(folder, names, expected):
    write(folder / "train.parquet", pictures(6), [0, 1] * 3, names=names)
    assert fault(folder) == expected


def test_the_hubs_sign_for_no_label_does_not_become_a_class(folder):
    write(folder / "train.parquet", pictures(9), [0, 1, -1] * 3, names=None)
    assert fault(folder) == (
        "train.parquet[2]: label -1, by which the hub means that there is none. Remove such rows; "
        'if it is a class, store labels as texts: "-1".'
    )
    write(folder / "train.parquet", pictures(6), ["1", "-1"] * 3, names=None)
    assert hub_parquet.load(folder).train.class_names == ("-1", "1")


@pytest.mark.parametrize("column", ["image", "label"])
def test_two_columns_of_one_name_are_a_fault(folder, column):
    names = {"image": ["image", "image", "label"], "label": ["image", "label", "label"]}[column]
    columns = [pictures(6) if name == "image" else [0, 1] * 3 for name in names]
    pq.write_table(pa.table(list(map(pa.array, columns)), names), folder / "train.parquet")
    assert fault(folder) == (
        f"train.parquet: two columns are called {column}. Rename or remove one."
    )


@pytest.mark.parametrize("damage", ["cut", "text", "middle"])
def test_a_damaged_shard_is_a_fault_of_one_line(folder, damage):
    path = folder / "train.parquet"
    write(path, pictures(60), [0, 1] * 30)
    data = path.read_bytes()
    half = len(data) // 2
    path.write_bytes(
        {
            "cut": data[:half],
            "text": b"version https://git-lfs.github.com/spec/v1\n",
            "middle": data[:2000] + b"\xff" * 30_000 + data[32_000:],
        }[damage]
    )
    line = fault(folder)
    assert line.startswith("train.parquet: damaged, or no parquet file (")
    assert "\n" not in line


def test_a_missing_shard_is_a_fault(folder):
    write(folder / "train-00000-of-00003.parquet", pictures(6), [0, 1] * 3)
    write(folder / "train-00002-of-00003.parquet", pictures(6), [0, 1] * 3)
    assert fault(folder) == "train-00000-of-00003.parquet: 2 of the 3 train shards found."


def test_shards_may_end_in_a_hash_as_older_ones_do(folder):
    for number in range(2):
        name = f"train-0000{number}-of-00002-b42a5e7c9d0f1a2b.parquet"
        write(folder / name, pictures(6), [0, 1] * 3)
    assert len(hub_parquet.load(folder).train) == 12


def test_shards_without_a_split_in_their_name_are_a_fault(folder):
    write(folder / "0000.parquet", pictures(6), [0, 1] * 3)
    assert fault(folder) == (
        "0000.parquet: the name tells no split. Expected train-00000-of-00001.parquet, "
        "validation-… or test-…."
    )


def test_shards_of_two_configurations_are_a_fault(folder):
    write(folder / "a/train.parquet", pictures(6), [0, 1] * 3)
    write(folder / "b/train.parquet", pictures(6), [0, 1] * 3)
    assert fault(folder) == "animals/: shards in a/, b/. Give the path of one of them."


def test_no_shards_to_train_on_is_a_fault(folder):
    write(folder / "test.parquet", pictures(6), [0, 1] * 3)
    assert fault(folder) == "animals/: no shards called train-….parquet among 1."


def test_no_rows_are_a_fault(folder):
    write(folder / "train.parquet", pictures(6), [0, 1] * 3)
    write(folder / "test.parquet", [], pa.array([], pa.int64()))
    assert fault(folder) == "animals/: the test shards have no rows."


def put_images(folder):
    for name in ("ant/0.png", "zebra/0.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(0)[1])


@pytest.mark.parametrize("name", ["metadata.parquet", "ant/embeddings.parquet", "._train.parquet"])
def test_a_table_beside_images_does_not_make_shards_of_their_folder(folder, name):
    put_images(folder)
    write(folder / name, pictures(6), [0, 1] * 3)
    assert not hub_parquet.holds_shards(folder)
    assert catalogue.found(folder, trainable=False).class_names == ("ant", "zebra")


@pytest.mark.parametrize("name", ["train.parquet", "data/train-00000-of-00001.parquet"])
def test_shards_are_known_by_their_names_though_images_lie_beside_them(folder, name):
    put_images(folder)
    write(folder / name, pictures(6), [0, 1] * 3)
    assert hub_parquet.holds_shards(folder)


def test_without_images_any_table_is_taken_for_a_shard_whose_name_is_wrong(folder):
    write(folder / "animals.parquet", pictures(6), [0, 1] * 3)
    assert hub_parquet.holds_shards(folder)
    assert fault(folder).startswith("animals.parquet: the name tells no split.")


def test_hidden_files_and_a_table_above_the_shards_are_passed_over(folder):
    write(folder / "data/train.parquet", pictures(6), [0, 1] * 3)
    for name in ("data/._train.parquet", "._x.parquet", ".cache/test.parquet"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"Mac")
    write(folder / "metadata.parquet", pictures(1), [0])
    assert hub_parquet.load(folder).train.counts() == [3, 3]
