import io
import pickle
import random
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps
from sklearn.ensemble import RandomForestClassifier

from tinyscope.data import decoding
from tinyscope.data.dataset import Preprocessing
from tinyscope.data.decoding import Undecodable, decode, measure, resized


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(height, width):
    """A picture without detail that any sane resizing would lose."""
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x / width, 255 * y / height
    return np.stack([red, green, 127 + 100 * np.sin(6 * x / width)], axis=-1).astype(np.uint8)


def decoded(image, form="PNG", *, channels=3, **options):
    data = encoded(image, form, **options)
    return decode(data, Preprocessing(image.height, image.width, channels))


def row(*values):
    """A one-row image array (1, W) or (1, W, C)."""
    return np.array([values])


def test_an_rgb_image_of_the_target_size_is_untouched():
    pixels = noise(32, 32)
    np.testing.assert_array_equal(decoded(Image.fromarray(pixels)), pixels)
    np.testing.assert_array_equal(decoded(Image.fromarray(pixels), "WEBP", lossless=True), pixels)


def test_the_result_can_be_written_to():
    assert decoded(Image.fromarray(noise(8, 8))).flags.writeable


def test_a_path_gives_what_its_bytes_give(tmp_path):
    data = encoded(Image.fromarray(noise(20, 31)))
    (tmp_path / "a.bin").write_bytes(data)
    target = Preprocessing(16, 16, 3)
    np.testing.assert_array_equal(decode(tmp_path / "a.bin", target), decode(data, target))
    assert measure(tmp_path / "a.bin") == (31, 20)


def test_grey_becomes_three_equal_channels_and_stays_one_where_one_is_asked_for():
    pixels = noise(8, 8, channels=1)
    image = Image.fromarray(pixels)
    np.testing.assert_array_equal(decoded(image), np.stack([pixels] * 3, axis=-1))
    np.testing.assert_array_equal(decoded(image, channels=1), pixels[..., np.newaxis])


def test_colour_becomes_grey_by_the_luma_weights():
    image = Image.fromarray(row([255, 0, 0], [0, 255, 0], [0, 0, 255]).astype(np.uint8))
    # 0.299, 0.587 and 0.114 of 255
    assert decoded(image, channels=1).ravel().tolist() == [76, 150, 29]


def test_one_bit_is_black_and_white():
    image = Image.fromarray(row(0, 255, 255, 0).astype(np.uint8)).convert("1")
    assert decoded(image)[0, :, 1].tolist() == [0, 255, 255, 0]


def test_a_palette_is_looked_up():
    image = Image.frombytes("P", (3, 1), bytes([2, 0, 1]))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert decoded(image)[0].tolist() == [[0, 0, 255], [255, 0, 0], [0, 255, 0]]


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 128])])
def test_a_palette_with_transparency_lies_on_white(transparency):
    image = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 0])
    # Colour 1 is invisible; 128/255 of black on white is 255 - 128 = 127.
    third = [127] * 3 if isinstance(transparency, bytes) else [0] * 3
    got = decoded(image, transparency=transparency)
    assert got[0].tolist() == [[255, 0, 0], [255, 255, 255], third]


def test_alpha_lies_on_white():
    pixels = row([10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]).astype(np.uint8)
    # 51/255 = 0.2 of black: 0.8 x 255 = 204
    expected = [[10, 20, 30], [255, 255, 255], [204, 204, 204]]
    assert decoded(Image.fromarray(pixels))[0].tolist() == expected


def test_grey_with_alpha_lies_on_white():
    image = Image.merge(
        "LA", [Image.frombytes("L", (3, 1), bytes(b)) for b in ([9, 9, 0], [255, 0, 51])]
    )
    assert decoded(image, channels=1).ravel().tolist() == [9, 255, 204]


def test_a_palette_with_an_alpha_channel_lies_on_white():
    image = Image.frombytes("P", (2, 1), bytes([0, 0]))
    image.putpalette([255, 0, 0])
    image = image.convert("PA")
    image.putalpha(Image.frombytes("L", (2, 1), bytes([255, 0])))
    assert image.mode == "PA"
    assert np.asarray(decoding._plain(image))[0].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_a_transparent_colour_of_a_png_without_alpha_is_white():
    image = Image.fromarray(row([1, 2, 3], [4, 5, 6]).astype(np.uint8))
    assert decoded(image, transparency=(1, 2, 3))[0].tolist() == [[255] * 3, [4, 5, 6]]
    grey = Image.fromarray(row(7, 8).astype(np.uint8))
    assert decoded(grey, channels=1, transparency=8).ravel().tolist() == [7, 255]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(form):
    # v / 257: 128 -> 0.498, 129 -> 0.502, 257 -> 1, 32768 -> 127.5019, 65535 -> 255
    image = Image.fromarray(row(0, 128, 129, 257, 32768, 65535).astype(np.uint16))
    assert image.mode == "I;16"
    got = decoded(image, form, channels=1).ravel().tolist()
    assert got == [0, 0, 1, 1, 128, 255]


def test_a_transparent_value_of_sixteen_bit_grey_is_white():
    image = Image.fromarray(row(0, 257).astype(np.uint16))
    image.info["transparency"] = 257
    assert np.asarray(decoding._plain(image)).tolist() == [[0, 255]]


def test_32_bit_integers_are_read_as_16_bit_values():
    image = Image.fromarray(row(0, 257, 65535).astype(np.int32))
    assert image.mode == "I"
    assert decoded(image, "TIFF", channels=1).ravel().tolist() == [0, 1, 255]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((0, 65536), "integers from 0 to 65536, outside of 0 to 65535"),
        ((-1, 5), "integers from -1 to 5, outside of 0 to 65535"),
    ],
)
def test_integers_of_unknown_range_are_refused(values, reason):
    with pytest.raises(Undecodable) as raised:
        decoded(Image.fromarray(row(*values).astype(np.int32)), "TIFF")
    assert str(raised.value) == reason


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0.0, 0.5, 1.0), [0, 128, 255]), ((0.0, 0.6, 254.4), [0, 1, 254])],  # 127.5 to even: 128
)
def test_floats_are_fractions_or_levels(values, expected):
    image = Image.fromarray(row(*values).astype(np.float32))
    assert decoded(image, "TIFF", channels=1).ravel().tolist() == expected


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((0.0, 256.0), "floats from 0 to 256, outside of 0 to 255"),
        ((-0.5, 1.0), "floats from -0.5 to 1, outside of 0 to 255"),
        ((0.0, float("nan")), "floats from nan to nan, outside of 0 to 255"),
    ],
)
def test_floats_of_unknown_range_are_refused(values, reason):
    with pytest.raises(Undecodable) as raised:
        decoded(Image.fromarray(row(*values).astype(np.float32)), "TIFF")
    assert str(raised.value) == reason


def test_cmyk_becomes_rgb():
    inks = row([255, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 0]).astype(np.uint8)
    image = Image.frombytes("CMYK", (3, 1), inks.tobytes())
    assert decoded(image, "TIFF")[0].tolist() == [[0, 255, 255], [0, 0, 0], [255, 255, 255]]


def test_adobes_inverted_cmyk_jpeg_is_put_right():
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))  # cyan
    data = encoded(image, "JPEG", quality=95)
    assert b"Adobe" in data
    got = decode(data, Preprocessing(16, 16, 3)).astype(int)
    assert np.abs(got - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize("mode", ["YCbCr", "HSV"])
def test_other_colour_spaces_become_rgb(mode):
    image = Image.new("RGB", (4, 4), (200, 30, 60)).convert(mode)
    assert np.abs(np.asarray(decoding._plain(image)).astype(int) - [200, 30, 60]).max() <= 4


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_taken(form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if form == "WEBP" else {}
    got = decoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert (got == [255, 0, 0]).all()


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(20, 12), (12, 20), (19, 12)])
def test_exif_orientation_is_applied_before_the_crop(form, orientation, size):
    image = Image.fromarray(noise(size[1], size[0]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(image, form, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as stored:
        upright = ImageOps.exif_transpose(stored).convert("RGB")
    assert measure(data) == upright.size
    whole = decode(data, Preprocessing(upright.height, upright.width, 3))
    np.testing.assert_array_equal(whole, np.asarray(upright))

    side = 12
    left, top = (upright.width - side) // 2, (upright.height - side) // 2
    piece = np.asarray(upright)[top : top + side, left : left + side]
    np.testing.assert_array_equal(decode(data, Preprocessing(side, side, 3)), piece)

    small = upright.resize((5, 5), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    got = decode(data, Preprocessing(5, 5, 3)).astype(int)
    assert np.abs(got - np.asarray(small)).max() <= 2  # the passes are rounded in another order


@pytest.mark.parametrize("orientation", range(1, 9))
# 1/8 of 201 pixels is 25.125, and Pillow gives 26, of which the last is mostly padding.
@pytest.mark.parametrize(("shape", "side"), [((1003, 1501), 32), ((201, 201), 8)])
def test_a_large_jpeg_is_scaled_early_and_looks_the_same(orientation, shape, side):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(smooth(*shape))
    data = encoded(image, "JPEG", quality=95, exif=exif)
    with Image.open(io.BytesIO(data)) as stored:
        upright = ImageOps.exif_transpose(stored)
    piece = min(shape)
    left, top = (upright.width - piece) // 2, (upright.height - piece) // 2
    box = (left, top, left + piece, top + piece)
    reference = np.asarray(upright.resize((side, side), Image.Resampling.BICUBIC, box)).astype(int)
    difference = np.abs(decode(data, Preprocessing(side, side, 3)).astype(int) - reference)
    assert difference.max() <= 4
    assert difference.mean() < 0.8


def test_a_large_jpeg_is_really_scaled_early(monkeypatch):
    loaded = []
    plain = decoding._plain
    monkeypatch.setattr(decoding, "_plain", lambda im: loaded.append(im.size) or plain(im))
    data = encoded(Image.fromarray(smooth(1000, 1600)), "JPEG")
    decode(data, Preprocessing(32, 32, 3))
    assert loaded == [(200, 125)]  # 1/8: no less than 3 x 32


def test_resizing_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # every second column: grey from afar, and black or white if sampled
    got = decode(encoded(Image.fromarray(stripes)), Preprocessing(8, 8, 3))
    assert np.abs(got.astype(int) - 127.5).max() < 8


def test_decoded_arrays_are_resized_as_files_are():
    images = np.stack([noise(20, 30, seed=seed) for seed in range(3)])
    got = resized(images, height=16, width=16)
    for pixels, one in zip(images, got, strict=True):
        expected = decode(encoded(Image.fromarray(pixels)), Preprocessing(16, 16, 3))
        np.testing.assert_array_equal(one, expected)
    grey = resized(images[..., :1], height=16, width=12)
    assert grey.shape == (3, 16, 12, 1)
    assert resized(images, height=20, width=30) is images


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {}),
        ("BMP", {}),
    ],
)
@pytest.mark.parametrize("target", [32, 400])
def test_a_file_that_is_cut_off_is_never_accepted(form, options, share, target):
    data = encoded(Image.fromarray(noise(400, 400)), form, **options)
    with pytest.raises(Undecodable):
        decode(data[: int(share * len(data))], Preprocessing(target, target, 3))
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, this is no image at all", "not an image"),
        (encoded(Image.fromarray(noise(64, 64)), "JPEG")[:10], "truncated"),
        (encoded(Image.fromarray(noise(64, 64)))[:12], "header truncated or damaged"),
        (encoded(Image.fromarray(noise(64, 64)), "JPEG")[:3000], "truncated"),
        (encoded(Image.fromarray(noise(64, 64)))[:3000], "truncated"),
        (encoded(Image.fromarray(noise(64, 64)), "WEBP")[:900], "truncated or damaged"),
    ],
)
def test_the_reason_is_a_phrase(data, reason):
    with pytest.raises(Undecodable) as raised:
        decode(data, Preprocessing(32, 32, 3))
    assert str(raised.value) == reason


def test_a_file_that_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(Undecodable) as raised:
        decode(tmp_path / "gone.png", Preprocessing(32, 32, 3))
    assert str(raised.value) == "cannot be read: No such file or directory"


def test_random_damage_is_never_a_crash():
    draw = random.Random(0)
    reasons = []
    originals = [
        encoded(Image.fromarray(smooth(40, 40)), form)
        for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "TGA", "ICO", "JPEG2000")
    ]
    for trial in range(600):
        data = bytearray(originals[trial % len(originals)])
        for _ in range(draw.randint(1, 12)):
            data[draw.randrange(min(len(data), 200))] = draw.randrange(256)
        try:
            assert decode(bytes(data), Preprocessing(8, 8, 3)).shape == (8, 8, 3)
        except Undecodable as fault:
            reasons.append(str(fault))
    assert len(reasons) > 50
    assert not [reason for reason in reasons if "\n" in reason or "0x" in reason]


def png_header(width, height):
    """A PNG that states a size and holds nothing."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    shape = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + shape + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height", "pixels"),
    [
        (8000, 8001, "64,008,000"),
        (10_000, 10_000, "100,000,000"),  # Pillow warns
        (16_000, 16_000, "256,000,000"),  # Pillow raises
    ],
)
def test_too_many_pixels_are_refused_by_the_header(width, height, pixels):
    for way_in in (measure, lambda data: decode(data, Preprocessing(8, 8, 3))):
        with pytest.raises(Undecodable) as raised:
            way_in(png_header(width, height))
        assert str(raised.value) == f"{pixels} pixels, more than the limit of 64,000,000"


def test_formats_that_start_a_program_are_not_read():
    with pytest.raises(Undecodable, match=r"^not an image$"):
        measure(encoded(Image.fromarray(noise(8, 8)), "EPS"))


def warning_jpeg():
    """A JPEG whose EXIF data make Pillow warn: a tag that points outside of them."""
    entry = struct.pack("<HHII", 0x010F, 2, 100, 5000)  # maker: 100 letters from byte 5000
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    return encoded(Image.fromarray(smooth(16, 16)), "JPEG", exif=exif)


def warn_by_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        image.getexif().get(0x010F)


def test_pillows_warnings_do_not_leak_and_others_do():
    data = warning_jpeg()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="Tag data larger"):
            warn_by_pillow(data)
        assert decode(data, Preprocessing(16, 16, 3)).shape == (16, 16, 3)
        with pytest.raises(UserWarning, match="Tag data larger"):
            warn_by_pillow(data)  # outside of decode nothing is hushed


def test_a_warning_in_another_thread_is_seen_while_one_decodes(monkeypatch):
    data = warning_jpeg()
    inside, go_on = threading.Event(), threading.Event()
    plain = decoding._load

    def slow(image, preprocessing):
        inside.set()
        go_on.wait(5)
        return plain(image, preprocessing)

    monkeypatch.setattr(decoding, "_load", slow)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(decode, data, Preprocessing(16, 16, 3))
        inside.wait(5)
        with (
            pytest.warns(UserWarning, match="Tag data larger"),
            Image.open(io.BytesIO(data)) as image,
        ):
            image.getexif().get(0x010F)
        go_on.set()
        assert running.result().shape == (16, 16, 3)


def test_what_reads_and_pickles_warning_filters_works_after_an_image_was_decoded():
    data = warning_jpeg()
    with warnings.catch_warnings():
        decode(data, Preprocessing(16, 16, 3))
        forest = RandomForestClassifier(5, n_jobs=2, random_state=0)
        forest.fit(np.arange(20.0)[:, None], np.arange(20) % 2)  # sets the filters up in threads
        warnings.filters[:] = pickle.loads(pickle.dumps(warnings.filters))
        warnings.simplefilter("error", append=True)
        decode(data, Preprocessing(16, 16, 3))
        with pytest.raises(UserWarning, match="Tag data larger"):
            warn_by_pillow(data)


def test_many_threads_decode_what_one_does():
    files = [encoded(Image.fromarray(noise(20, 24, seed=seed)), "JPEG") for seed in range(40)]
    files[7::10] = [warning_jpeg()] * 4
    target = Preprocessing(16, 16, 3)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: decode(data, target), files * 3))
    for got, data in zip(together, files * 3, strict=True):
        np.testing.assert_array_equal(got, decode(data, target))
