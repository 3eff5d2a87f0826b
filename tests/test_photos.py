import io
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tinyscope.data import file_tree
from tinyscope.errors import DataError
from tinyscope.shipping import packed_photos
from tinyscope.shipping.photos import find_photos, natural_order


def png(shade=0):
    stream = io.BytesIO()
    Image.new("L", (4, 4), shade).save(stream, "PNG")
    return stream.getvalue()


def names(given, root):
    return [photo.name.removeprefix(f"{root}/") for photo in find_photos([str(given)])]


def test_a_folder_without_photos_is_named_among_others_which_are_answered(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    given = [str(tmp_path / name) for name in ("a.png", "empty", "b.png")]
    found = list(find_photos(given))
    assert [photo.name for photo in found] == given
    assert [photo.id for photo in found] == ["a", "empty", "b"]
    assert found[1].fault == "holds no photos: expected image files, or parquet files."
    assert not found[0].fault
    assert not found[2].fault


def test_folders_and_patterns_stand_for_their_photos(tmp_path):
    for name in ("b.jpg", "a.PNG", "notes.txt", "deep/c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path, tmp_path) == ["a.PNG", "b.jpg", "deep/c.webp"]
    assert names(tmp_path / "*.jpg", tmp_path) == ["b.jpg"]
    assert names(tmp_path / "missing.jpg", tmp_path) == ["missing.jpg"]
    assert names(tmp_path / "*.gif", tmp_path) == ["*.gif"]


def test_a_folder_gives_every_file_that_training_would_look_at(tmp_path):
    """None is passed over unsaid for its ending, or for a link on the way to it."""
    far = tmp_path / "far"
    photos = tmp_path / "photos"
    for name in ("1.png", "IMG_2.HEIC", "noending", "x.pcx", "._1.png", ".hidden/2.png", "a.csv"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).touch()
    for name in ("__MACOSX/3.png", "@eaDir/4.png", "tinyscope-runs/5.png"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).touch()
    far.mkdir()
    (far / "6.png").touch()
    (photos / "linked").symlink_to(far)
    (photos / "round").symlink_to(photos)
    (photos / "gone.png").symlink_to(tmp_path / "nowhere")
    (photos / ".loop").symlink_to(".loop")
    found = list(find_photos([str(photos)]))
    assert [photo.name.removeprefix(f"{photos}/") for photo in found] == [
        *("1.png", "IMG_2.HEIC", "gone.png", "linked/6.png", "noending", "x.pcx")
    ]
    assert [photo.fault for photo in found if photo.fault] == ["broken link, or no regular file"]


def test_a_folder_that_cannot_be_read_is_given_out_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "shut").mkdir()
    (tmp_path / "1.png").touch()
    scandir = file_tree.os.scandir

    def refusing(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(file_tree.os, "scandir", refusing)
    good, shut = find_photos([str(tmp_path)])
    assert (good.name, good.fault) == (f"{tmp_path}/1.png", "")
    assert shut.name == f"{tmp_path}/shut"
    assert shut.fault == "folder cannot be read: Permission denied"


def test_a_file_whose_name_holds_a_pattern_is_that_file(tmp_path):
    (tmp_path / "photo[1].jpg").touch()
    assert names(tmp_path / "photo[1].jpg", tmp_path) == ["photo[1].jpg"]


def test_numbers_in_names_count_as_numbers_in_folders_patterns_and_zip_files(tmp_path):
    order = ["1.png", "2.png", "10.png", "a/9.png", "a/b2.png", "a/b10.png", "a10/1.png"]
    folder = tmp_path / "f"
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as packed:
        for name in sorted(order):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
            packed.writestr(name, png())
    assert names(folder, folder) == order
    assert names(folder / "*.png", folder) == order[:3]
    assert names(tmp_path / "f.zip", tmp_path / "f.zip") == order


def test_natural_order_tells_01_from_1_and_reads_numbers_of_any_length():
    long = "9" * 5000
    given = [f"{long}0.png", f"{long}.png", "1.png", "01.png", "x.png", "١.png"]
    ordered = sorted(given, key=natural_order)
    assert ordered == ["01.png", "1.png", f"{long}.png", f"{long}0.png", "x.png", "١.png"]
    assert sorted(reversed(given), key=natural_order) == ordered


def test_an_id_is_the_files_name_without_its_suffix(tmp_path):
    (tmp_path / "a.b.png").touch()
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as packed:
        packed.writestr("test/7.jpeg", png())
    given = [str(tmp_path / "a.b.png"), str(tmp_path / "z.zip")]
    assert [photo.id for photo in find_photos(given)] == ["a.b", "7"]


def test_a_zip_file_gives_its_photos_and_nothing_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as packed:
        packed.writestr("notes.txt", "no")
        packed.writestr("__MACOSX/._a.png", "no")
        packed.writestr("._a.png", "no")
        packed.writestr("../../out.PNG", png(3))
        packed.writestr("folder.png/", "")
        packed.writestr("sorted.csv/1.png", png(4))
    out, photo = find_photos([str(tmp_path / "z.zip")])
    assert (out.name, out.source) == (f"{tmp_path}/z.zip/../../out.PNG", png(3))
    assert (photo.name, photo.source) == (f"{tmp_path}/z.zip/sorted.csv/1.png", png(4))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["z.zip"]


def test_damaged_encrypted_and_overlarge_members_have_a_fault_and_the_others_are_given(
    tmp_path, monkeypatch
):
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for number in range(4):
            packed.writestr(f"{number}.png", png(number))
        packed.writestr("4.png", bytes(5000))
    content = bytearray(path.read_bytes())
    content[content.index(png(1)) + 30] ^= 255
    at = content.index(b"2.png", content.index(b"PK\1\2"))  # in the list at the file's end
    content[at - 46 + 8] |= 1
    path.write_bytes(content)
    monkeypatch.setattr(packed_photos, "MOST_BYTES", 4000)
    found = list(find_photos([str(path)]))
    assert [bool(photo.source) for photo in found] == [True, False, False, True, False]
    assert [photo.fault for photo in found] == [
        "",
        "damaged in its zip file (Bad CRC-32 for file '1.png')",
        "encrypted",
        "",
        "5,000 bytes, more than the limit of 4,000",
    ]


def test_no_more_of_a_member_is_unpacked_than_its_header_states(tmp_path):
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.png", bytes(1 << 20))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2")
    content[at + 24 : at + 28] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    (photo,) = find_photos([str(path)])
    assert photo.fault == "damaged in its zip file (Bad CRC-32 for file 'a.png')"


def test_a_file_that_is_no_zip_file_has_a_fault_and_an_empty_one_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<html>")
    (photo,) = find_photos([str(tmp_path / "a.zip")])
    assert photo.fault == "damaged, or no zip file (File is not a zip file)"
    zipfile.ZipFile(tmp_path / "b.zip", "w").close()
    with pytest.raises(DataError) as told:
        list(find_photos([str(tmp_path / "b.zip")]))
    assert str(told.value) == f"{tmp_path}/b.zip holds no photos."


def shard(path, rows, column="image"):
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({column: pa.array(rows, struct), "label": pa.array([0] * len(rows))})
    pq.write_table(table, path, row_group_size=2)


def test_rows_of_parquet_files_are_photos_with_their_path_or_number_as_id(tmp_path):
    shard(
        tmp_path / "test-00000-of-00002.parquet",
        [{"bytes": png(k), "path": f"x/{k + 5}.png"} for k in range(3)],
    )
    rows = [{"bytes": png(3), "path": None}, {"bytes": None, "path": None}, None]
    shard(tmp_path / "test-00001-of-00002.parquet", rows)
    found = list(find_photos([str(tmp_path)]))
    assert [photo.id for photo in found] == ["5", "6", "7", "3", "4", "5"]
    assert [photo.source for photo in found] == [*map(png, range(4)), b"", b""]
    assert [photo.fault for photo in found][3:] == ["", *["no bytes in its row"] * 2]
    first, second = (f"{tmp_path}/test-0000{k}-of-00002.parquet" for k in (0, 1))
    assert [photo.name for photo in found][2:4] == [f"{first}/x/7.png", f"{second}[0]"]
    assert next(find_photos([second])).id == "0"


def test_a_number_as_path_is_a_name_and_files_without_rows_hold_no_photos(tmp_path):
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.int64())])
    table = pa.table({"image": pa.array([{"bytes": png(), "path": 7}], struct)})
    pq.write_table(table, tmp_path / "a.parquet")
    (photo,) = find_photos([str(tmp_path / "a.parquet")])
    assert photo.id == "7"
    pq.write_table(table.slice(0, 0), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="holds no photos"):
        list(find_photos([str(tmp_path / "b.parquet")]))


def test_a_binary_column_called_img_holds_photos_too(tmp_path):
    pq.write_table(pa.table({"img": [png(1), png(2)]}), tmp_path / "a.parquet")
    assert [photo.source for photo in find_photos([str(tmp_path / "a.parquet")])] == [
        png(1),
        png(2),
    ]


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (
            {"picture": [b"a"], "label": [1]},
            "no column of images: found picture, label; expected img or image",
        ),
        ({"image": ["a"]}, "column image is string; expected binary, or a struct with bytes"),
        (
            {"image": [{"path": "a"}]},
            "column image is struct<path: string>; expected binary, or a struct with bytes",
        ),
    ],
)
def test_parquet_files_without_images_say_what_they_hold(tmp_path, table, fault):
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    (photo,) = find_photos([str(tmp_path / "a.parquet")])
    assert photo.fault == fault


def test_two_columns_of_one_name_are_a_fault_and_the_next_file_is_read(tmp_path):
    table = pa.table([pa.array([png(1)]), pa.array([png(2)])], ["image", "image"])
    pq.write_table(table, tmp_path / "a.parquet")
    shard(tmp_path / "b.parquet", [{"bytes": png(1), "path": "1.png"}])
    bad, good = find_photos([str(tmp_path / name) for name in ("a.parquet", "b.parquet")])
    assert bad.fault == "two columns are called image; expected one"
    assert good.source == png(1)


def test_a_damaged_parquet_file_has_a_fault_and_the_next_file_is_read(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1no")
    shard(tmp_path / "b.parquet", [{"bytes": png(1), "path": "1.png"}])
    bad, good = find_photos([str(tmp_path / name) for name in ("a.parquet", "b.parquet")])
    assert bad.fault.startswith("damaged, or no parquet file (")
    assert good.source == png(1)


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError) as told:
        list(find_photos([str(tmp_path)]))
    assert str(told.value) == (
        f"{tmp_path} holds no photos: expected image files, or parquet files."
    )


def test_a_folder_that_is_linked_twice_is_answered_once(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(png(1))
    (tmp_path / "cat" / "up").symlink_to("..", target_is_directory=True)
    (tmp_path / "again").symlink_to("cat", target_is_directory=True)
    (photo,) = find_photos([str(tmp_path)])
    assert (photo.name, photo.fault) == (f"{tmp_path}/cat/1.png", "")


@pytest.mark.parametrize("name", [".", "./.", ".."])
def test_a_zip_member_that_names_a_folder_is_passed_over(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(name, b"")
        packed.writestr("1.png", png(1))
    (photo,) = find_photos([str(tmp_path / "a.zip")])
    assert (photo.source, photo.fault) == (png(1), "")
