"""The one way in which an image is opened, wherever it comes from."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ventralstream.errors import VentralError, printable, reason
from ventralstream.files import why_no_file

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")  # PPM: also PGM, PBM, PNM and PFM
EXTENSIONS = (  # of names, in any case
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
)
BACKGROUND = (128, 128, 128)
MAX_PIXELS = 89_478_485  # from here on Pillow warns of decompression bombs: 256 MB in colour


def open_image(path: str | Path, channels: int) -> Image.Image:
    """Decodes one image file.

    The image is as a viewer shows it: turned as its EXIF orientation says; of an animation or a file of several pages
    the first. Transparent pixels are laid on mid-grey (128): stimuli are usually cut-out objects, experiments show them
    on grey, and black or white would give them the strongest outline.

    Pixels of 16 bits (and of 12, in TIFF) keep their upper 8. Pixels that are floats are taken as 0 (black) to 1
    (white). Colour profiles are not applied.

    Args:
        path: The file. A name that is there in another Unicode normal form is found.
        channels: 3 for RGB, 1 for grey.

    Returns:
        The image, 8 bits a channel.

    Raises:
        VentralError: It cannot be read, is none of the formats `FORMATS` (whatever its name says), has more than
            `MAX_PIXELS`, or pixels of which one cannot tell what is white.
    """
    path = as_on_disk(Path(path))
    why = why_no_file(path)
    if not why:
        try:
            with path.open("rb") as file:
                return _decode(file, channels)
        except Exception as error:
            why = _reason(error, MAX_PIXELS)
    raise VentralError(f"cannot read '{printable(path)}': {why}.")


def decode_image(data: bytes | BinaryIO, channels: int, name: str, most_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes an image that is no file of its own, as `open_image` does.

    Args:
        data: Its bytes, or a seekable stream of them.
        channels: 3 for RGB, 1 for grey.
        name: What to call it in an error.
        most_pixels: The most that it may have; it is looked at before anything is decoded.

    Raises:
        VentralError: as for `open_image`.
    """
    try:
        return _decode(io.BytesIO(data) if isinstance(data, bytes) else data, channels, most_pixels)
    except Exception as error:
        why = _reason(error, most_pixels)
    raise VentralError(f"cannot read '{printable(name)}': {why}.")


class _Unreadable(Exception):
    """Why an image cannot be read, in words."""


def _reason(error: Exception, most_pixels: int) -> str:
    """Decoders fail in many ways: OSError, SyntaxError, ValueError, struct.error, MemoryError, ..."""
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image in JPEG, PNG, GIF, WebP, BMP, TIFF or PPM format"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {most_pixels:,} pixels"
    if isinstance(error, _Unreadable) or (isinstance(error, OSError) and error.strerror):
        return reason(error)
    return f"it is damaged or cut off ({reason(error).rstrip('.')})"


def as_on_disk(path: Path) -> Path:
    """The path as it is spelt on the disk, where "é" may be one character or two."""
    try:
        path.lstat()
    except FileNotFoundError:
        if path.parent == path:
            return path
        parent = as_on_disk(path.parent)
        if path.name.isascii():
            return parent / path.name
        for form in ("NFC", "NFD"):
            if (other := parent / unicodedata.normalize(form, path.name)).exists():
                return other
    except (OSError, ValueError):  # said when it is opened
        pass
    return path


def _decode(file: BinaryIO, channels: int, most_pixels: int = MAX_PIXELS) -> Image.Image:
    if not file.read(1):
        raise _Unreadable("it is empty")
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        if image.width * image.height > most_pixels:
            raise _Unreadable(f"it has {image.width} x {image.height} pixels, more than {most_pixels:,}")
        image.load()
        _turn_upright(image)
        return _on_background(_to_8_bits(image)).convert("RGB" if channels == 3 else "L")


def _turn_upright(image: Image.Image) -> None:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # EXIF that is damaged says nothing of the orientation; viewers pass over it, too
        return


def _on_background(image: Image.Image) -> Image.Image:
    """Lays what is transparent on `BACKGROUND`."""
    if not image.has_transparency_data:
        return image
    shown = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", shown.size, (*BACKGROUND, 255)), shown)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scales pixels of 16 bits, which Pillow would clip to white, and floats; refuses pixels of no known range."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        pixels, bits = np.asarray(image), _tag(image, _BITS, 16)
        grey = _shown(image, (pixels >> (bits - 8)).astype(np.uint8))
        key = image.info.get("transparency")
        if isinstance(key, int):  # this grey is transparent
            grey.putalpha(Image.fromarray(np.where(pixels == key, 0, 255).astype(np.uint8)))
        return grey
    if image.mode == "F":
        values = np.asarray(image)
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 1):  # nor if one is NaN
            raise _Unreadable(
                f"its pixels are floats of 32 bits from {low:g} to {high:g}, expected 0 (black) to 1 (white)"
            )
        return _shown(image, np.rint(values * 255).astype(np.uint8))
    if image.mode == "I":
        raise _Unreadable("its pixels are whole numbers of 32 bits, of which none is known to be white")
    if _tag(image, _SAMPLES, 1) == 2:
        raise _Unreadable("its pixels are whole numbers with a sign, of which none is known to be white")
    return image


_BITS, _PHOTOMETRIC, _SAMPLES = 258, 262, 339  # tags of TIFF: bits a sample, what zero is, with a sign or without


def _tag(image: Image.Image, tag: int, default: int) -> int:
    """A tag of a TIFF, of the first channel; the default where there is none."""
    value = getattr(image, "tag_v2", {}).get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _shown(image: Image.Image, grey: NDArray[np.uint8]) -> Image.Image:
    """Grey as an image; turned round where a TIFF says that zero is white, which Pillow does for 8 bits only."""
    return Image.fromarray(255 - grey if _tag(image, _PHOTOMETRIC, 1) == 0 else grey)
