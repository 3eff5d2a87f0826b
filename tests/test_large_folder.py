import large_folder
import numpy as np

from tinyscope.data.decoding import measure


def test_a_folder_of_as_many_images_as_asked_is_made_once(tmp_path):
    folder = tmp_path / "folder"
    large_folder.make(folder, 60)
    files = sorted(folder.glob("*/*"))
    assert len(files) == 60
    assert len(list(folder.iterdir())) == large_folder.CLASSES
    assert sum(path.suffix == ".png" for path in files) == 6
    assert {measure(path) for path in files} == {(32, 32)}
    files[0].unlink()
    large_folder.make(folder, 60)
    assert len(list(folder.glob("*/*"))) == 59
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_pictures_have_structure_and_differ():
    images = large_folder.pictures(np.arange(40) % 20, np.random.default_rng(0))
    assert images.shape == (40, 32, 32, 3)
    assert len({image.tobytes() for image in images}) == 40
    beside = np.abs(np.diff(images.astype(int), axis=1)).mean((1, 2, 3))
    assert (beside < images.std((1, 2, 3))).all()  # neighbours are more alike than distant pixels


def test_a_measurement_counts_images_time_and_memory(tmp_path):
    large_folder.make(tmp_path / "folder", 80)
    told = large_folder.measured(
        large_folder.WORK["file_facts"], tmp_path / "folder", tmp_path / "cache"
    )
    assert told["images"] == 80
    assert 0 < told["cpu_seconds"] < 60
    assert 20 < told["peak_MB"] < 2000
