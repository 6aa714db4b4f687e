"""Every kind of image that people have comes out as a viewer shows it, or is refused in one sentence."""

import io
import os
import random
import socket
import struct
import unicodedata
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ventralstream.data.image_file import BACKGROUND, EXTENSIONS, MAX_PIXELS, decode_image, open_image
from ventralstream.errors import VentralError

RED, BLUE, GREY = (255, 0, 0), (0, 0, 255), BACKGROUND
HIDDEN_GREEN = (0, 255, 0, 0)


def halves(left, right, mode="RGB"):
    """An image of 8 x 4 pixels, its left and right half of one colour each."""
    image = Image.new(mode, (8, 4), left)
    image.paste(right, (4, 0, 8, 4))
    return image


def palette(transparency=None):
    image = Image.new("P", (8, 4), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (4, 0, 8, 4))
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


def of_16_bits():
    return Image.fromarray(np.repeat(np.array([[0x40FF, 0xC000]], np.uint16), 4, 1).repeat(4, 0))


def of_floats(scale=1.0):
    return Image.fromarray(np.repeat(np.array([[0.0, 0.5]], np.float32), 4, 1).repeat(4, 0) * np.float32(scale))


GREYS = {"64, 192": ((64,) * 3, (192,) * 3), "black, white": ((0,) * 3, (255,) * 3), "black, grey": ((0,) * 3, GREY)}

KINDS = {
    "colour": ("png", halves(RED, BLUE), (RED, BLUE)),
    "grey": ("png", halves(64, 192, "L"), GREYS["64, 192"]),
    "1 bit": ("png", halves(0, 1, "1"), GREYS["black, white"]),
    "1 bit, TIFF": ("tif", halves(0, 1, "1"), GREYS["black, white"]),
    "PBM": ("pbm", halves(0, 1, "1"), GREYS["black, white"]),
    "PGM": ("pgm", halves(64, 192, "L"), GREYS["64, 192"]),
    "PPM": ("PPM", halves(RED, BLUE), (RED, BLUE)),
    "PNM": ("pnm", halves(RED, BLUE), (RED, BLUE)),
    "BMP": ("bmp", halves(RED, BLUE), (RED, BLUE)),
    "JFIF": ("jfif", halves(64, 192, "L"), GREYS["64, 192"]),
    "palette": ("png", palette(), (RED, BLUE)),
    "GIF": ("GIF", palette(), (RED, BLUE)),
    "CMYK": ("tif", halves((0, 255, 255, 0), (255, 255, 0, 0), "CMYK"), (RED, BLUE)),
    "CMYK, JPEG": ("jpg", halves((0, 255, 255, 0), (255, 255, 0, 0), "CMYK"), (RED, BLUE)),
    "16 bits": ("png", of_16_bits(), GREYS["64, 192"]),
    "16 bits, TIFF": ("tiff", of_16_bits(), GREYS["64, 192"]),
    "16 bits, PGM": ("pgm", of_16_bits(), GREYS["64, 192"]),
    "floats, TIFF": ("tif", of_floats(), GREYS["black, grey"]),
    "floats, PFM": ("pfm", of_floats(), GREYS["black, grey"]),
    "RGBA": ("png", halves((*RED, 255), HIDDEN_GREEN, "RGBA"), (RED, GREY)),
    "RGBA, WebP": ("webp", halves((*RED, 255), HIDDEN_GREEN, "RGBA"), (RED, GREY)),
    "RGBA, TIFF": ("tif", halves((*RED, 255), HIDDEN_GREEN, "RGBA"), (RED, GREY)),
    "half transparent": ("png", halves((*RED, 255), (0, 0, 0, 128), "RGBA"), (RED, (64, 64, 64))),
    "LA": ("png", halves((64, 255), (255, 0), "LA"), ((64,) * 3, GREY)),
    "palette, one transparent": ("png", palette(1), (RED, GREY)),
    "palette, alpha of each": ("png", palette(b"\xff\x00"), (RED, GREY)),
    "GIF, transparent": ("gif", palette(1), (RED, GREY)),
    "PNG, a colour transparent": ("png", halves(RED, BLUE), (RED, GREY), {"transparency": BLUE}),
    "grey PNG, a grey transparent": ("png", halves(64, 255, "L"), ((64,) * 3, GREY), {"transparency": 255}),
    **{
        f"animated {ending}": (
            ending,
            halves(RED, BLUE),
            (RED, BLUE),
            {"save_all": True, "append_images": [halves(BLUE, RED)]},
        )
        for ending in ("gif", "webp", "apng", "tif")
    },
}
LOSSLESS = {"webp": {"lossless": True, "exact": True}, "jpg": {"quality": 100}, "apng": {"format": "png"}}


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_image_is_read_as_a_viewer_shows_it(tmp_path, kind):
    ending, image, expected, *options = KINDS[kind]
    path = tmp_path / f"0.{ending}"
    image.save(path, **LOSSLESS.get(ending, {}), **(options[0] if options else {}))
    colour = np.asarray(open_image(path, 3))
    assert colour.shape == (4, 8, 3) and colour.dtype == np.uint8
    for found, wanted in zip((colour[1, 1], colour[1, 6]), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2)
    grey = np.asarray(open_image(path, 1))
    np.testing.assert_allclose(grey, np.asarray(Image.fromarray(colour).convert("L")), atol=1)
    assert np.array_equal(decode_image(path.read_bytes(), 3, "bytes"), colour)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright(tmp_path, ending, orientation):
    upright = Image.new("L", (12, 8), 0)
    upright.paste(255, (0, 0, 6, 4))  # top left
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that the orientation asks to undo
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x112] = orientation
    stored.save(tmp_path / f"0.{ending}", exif=exif, **LOSSLESS.get(ending, {}))
    found = np.asarray(open_image(tmp_path / f"0.{ending}", 1))
    np.testing.assert_allclose(found, np.asarray(upright), atol=8)


def test_damaged_exif_turns_nothing(tmp_path):
    halves(RED, BLUE).save(tmp_path / "0.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's
        assert open_image(tmp_path / "0.png", 3).size == (8, 4)


def test_grey_of_16_bits_that_is_transparent():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"\0" + struct.pack(">2H", 0x4000, 300))
    header = struct.pack(">IIBBBBB", 2, 1, 16, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"tRNS", struct.pack(">H", 300)), (b"IDAT", pixels), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)
    assert np.asarray(decode_image(png, 3, "0.png")).tolist() == [[[64] * 3, list(GREY)]]


def png_bomb():
    """Says that it has 50,000 x 50,000 pixels."""
    buffer = io.BytesIO()
    halves(RED, BLUE).save(buffer, "png")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", 50_000, 50_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def jpeg():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(buffer, "jpeg")
    return buffer.getvalue()


def wide_bmp(side):
    return struct.pack("<2sIHHI", b"BM", 62, 0, 0, 62) + struct.pack(
        "<IiiHHIIiiII", 40, side, side, 1, 1, 0, 0, 1, 1, 2, 2
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "it is empty"),
        (b"this is text", "not an image in JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n", "not an image in JPEG"),
        (b"\x89PNG\r\n\x1a\n", ""),
        (jpeg()[:600], "damaged or cut off"),
        (jpeg()[:-200], "truncated"),
        (png_bomb(), "more than 89,478,485"),
        (wide_bmp(10_000), "10000 x 10000 pixels, more than 89,478,485"),
    ],
    ids=["empty", "text", "PostScript", "signature", "cut", "cut later", "bomb", "large"],
)
def test_what_is_no_image_is_one_sentence(tmp_path, content, expected, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("Ghostscript was about to run")

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", never)
    path = tmp_path / "odd\nname.jpg"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(VentralError, match="cannot read") as caught:
            open_image(path, 3)
    assert expected in str(caught.value) and "\n" not in str(caught.value) and "odd\\nname.jpg" in str(caught.value)


def test_what_has_no_known_white_is_refused(tmp_path):
    of_floats(510).save(tmp_path / "0.tif")
    of_floats(float("nan")).save(tmp_path / "1.tif")
    of_16_bits().convert("I").save(tmp_path / "2.tif")
    for name, expected in (("0", "from 0 to 255, expected 0"), ("1", "from nan"), ("2", "whole numbers of 32 bits")):
        with pytest.raises(VentralError, match=expected):
            open_image(tmp_path / f"{name}.tif", 1)


def test_what_is_no_file_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "nothing.png").symlink_to(tmp_path / "gone")
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(tmp_path)  # a socket's path must be short
    try:
        listening.bind("socket.png")
    finally:
        os.chdir(here)
    for name, expected in (
        ("pipe.png", "a named pipe"),
        ("folder.png", "a folder"),
        ("nothing.png", "a link to nothing"),
        ("circle.png", "symbolic links"),
        ("device.png", "a device"),
        ("socket.png", "a socket"),
        ("absent.png", "no such file"),
        ("x" * 300 + ".png", "name too long"),
        ("\0.png", "null byte"),
    ):
        with pytest.raises(VentralError, match=rf"cannot read '[^']*': .*{expected}"):
            open_image(tmp_path / name, 3)
    listening.close()


@pytest.mark.parametrize(("stored", "asked"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_is_found_in_another_normal_form(tmp_path, stored, asked):
    name = "zoë/café é.png"
    path = tmp_path / unicodedata.normalize(stored, name)
    path.parent.mkdir()
    halves(RED, BLUE).save(path)
    assert open_image(tmp_path / unicodedata.normalize(asked, name), 3).size == (8, 4)


def test_damage_is_never_more_than_a_sentence():
    """Bytes flipped and files cut, in every format."""
    draw = random.Random(0)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((64, 48))
    exif = Image.Exif()
    exif[0x112] = 6
    read = refused = 0
    for format_, mode in (
        ("JPEG", "RGB"),
        ("PNG", "RGBA"),
        ("GIF", "P"),
        ("WEBP", "RGB"),
        ("BMP", "L"),
        ("PPM", "RGB"),
    ):
        buffer = io.BytesIO()
        image.convert(mode).save(buffer, format_, **({"exif": exif} if format_ in ("JPEG", "PNG") else {}))
        for _ in range(40):
            data = bytearray(buffer.getvalue())
            if draw.random() < 0.3:
                del data[draw.randrange(len(data)) :]
            for _ in range(draw.choice((1, 2, 8))):
                data[draw.randrange(min(len(data), 300))] = draw.randrange(256) if data else 0
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    assert decode_image(bytes(data), 3, "0").mode == "RGB"
                read += 1
            except VentralError as error:
                assert "\n" not in str(error)
                refused += 1
    assert read > 40 and refused > 40


def test_endings_are_those_of_the_formats():
    known = Image.registered_extensions()
    assert {known.get(e, "PPM" if e == ".pfm" else None) for e in EXTENSIONS} == {
        *("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
    }
    assert Image.MAX_IMAGE_PIXELS == MAX_PIXELS


def tiff(data: bytes, width: int, bits: int, zero: int = 1, samples: int = 1) -> bytes:
    """A grey TIFF of one row, as scientific cameras write it; Pillow writes no such kinds."""
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: zero, 273: 8 + 2 + 12 * 10 + 4, 277: 1, 278: 1}
    tags |= {279: len(data), 339: samples}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


@pytest.mark.parametrize(
    ("content", "grey"),
    [
        (tiff(np.array([0, 2**14, 2**16 - 1], "<u2").tobytes(), 3, 16), [0, 64, 255]),
        (tiff(np.array([0, 2**14, 2**16 - 1], "<u2").tobytes(), 3, 16, zero=0), [255, 191, 0]),
        (tiff(np.array([0, 100, 255], "u1").tobytes(), 3, 8, zero=0), [255, 155, 0]),
        (tiff(bytes([0x00, 0x04, 0x00, 0xFF, 0xFF, 0xFF]), 4, 12), [0, 64, 255, 255]),
        (tiff(np.array([0, 0.5, 1], "<f4").tobytes(), 3, 32, zero=0, samples=3), [255, 127, 0]),
    ],
)
def test_grey_of_scientific_cameras(content: bytes, grey: list[int]) -> None:
    assert np.asarray(decode_image(content, 1, "x")).ravel().tolist() == grey


def test_pixels_with_a_sign_are_refused() -> None:
    with pytest.raises(VentralError, match="with a sign"):
        decode_image(tiff(bytes([0, 100, 200]), 3, 8, samples=2), 1, "x")
