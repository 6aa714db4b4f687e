"""The recordings of `ventral explore --data`: opened, with the images that they and the page show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ventralstream.errors import VentralError, unknown

if TYPE_CHECKING:
    from xarray import DataArray

    from ventralstream.data.stimuli import Stimuli
    from ventralstream.explore.examples import Pictures
    from ventralstream.models.create import Opened
    from ventralstream.presentation import Presentation

SHOWN = 8  # stimuli of the recordings that the page shows
MOST_FEATURES = 1000  # of an area; larger ones are projected at random, as `ventral brain score` does


@dataclass(frozen=True)
class Session:
    """Recordings and the images that were shown.

    Attributes:
        name: What they are called.
        recordings: The assembly.
        images: What was shown.
        ids: The stimuli that the page shows.
    """

    name: str
    recordings: DataArray
    images: Stimuli | Path
    ids: tuple[str, ...]

    def pictures(self, opened: Opened) -> Pictures:
        """The images of the page, as a network reads them."""
        import torch
        from PIL import Image

        from ventralstream.explore.examples import Pictures, preprocessing
        from ventralstream.explore.exhibit import pictures_of

        spec = opened.network.spec
        if isinstance(self.images, Path):
            files = _files(self.images)
            found = pictures_of(spec, [files[i] for i in self.ids])
            return Pictures(found.pixels, self.ids, found.truths, self.name)
        how = preprocessing(spec)
        mode = "RGB" if how.channels == 3 else "L"
        chosen = self.images.select(self.ids).pixels
        pixels = torch.stack([how.pixels(Image.fromarray(p).convert(mode)) for p in chosen])
        return Pictures(pixels, self.ids, ("",) * len(self.ids), self.name)

    def beside(self, opened: Opened, steps: int | None, presentation: Presentation | None) -> dict[str, Any]:
        """What was recorded, and what each area predicts of it."""
        import math

        from ventralstream.brain import features
        from ventralstream.cli.brain.models import named_as
        from ventralstream.explore.neural import beside
        from ventralstream.progress import Progress

        spec = opened.network.spec
        areas = [a.name for a in spec.areas if a.name != spec.readout_area]
        shapes = spec.shapes().output
        large = {a: MOST_FEATURES for a in areas if math.prod(shapes[a]) > MOST_FEATURES}
        with Progress(f"showing images to {opened.name}", self.recordings.sizes["presentation"], "images") as progress:
            found = features(
                opened.network,
                self.images,
                areas,
                steps=steps,
                presentation=presentation,
                projection=large,
                tell=progress.update,
            )
        named = {area: named_as(values, self.recordings) for area, values in found.items()}
        with Progress("predicting the neurons", len(areas), "areas") as progress:
            return beside(named, self.recordings, self.ids, self.name, progress.update)


def open_session(data: str, root: Path | None, images: list[Path]) -> Session:
    """Opens recordings by name or file, and chooses which of their images the page shows.

    Args:
        data: As for `ventral brain score`.
        root: The folder of the data sets.
        images: The folder of the images, where the recordings do not bring their own.
    """
    import numpy as np

    from ventralstream.assembly import names_of
    from ventralstream.cli.brain.data import open_recordings
    from ventralstream.files import is_folder

    if len(images) > 1 or (images and not is_folder(images[0])):
        raise VentralError("with --data, --images is the folder of the images that were shown")
    found = open_recordings(data, root, images[0] if images else None)
    if found.images is None:
        raise VentralError(f"'{found.name}' comes without images; give their folder: --images FOLDER")
    ids = list(dict.fromkeys(names_of(found.recordings, "stimulus_id").tolist()))
    if isinstance(found.images, Path):
        files = _files(found.images)
        if missing := [i for i in ids if i not in files]:
            raise unknown(
                "image", missing[0], files, f" in '{found.images}' ({len(missing)} of {len(ids)} are missing)"
            )
    chosen = np.linspace(0, len(ids) - 1, min(SHOWN, len(ids))).round().astype(int)
    return Session(found.name, found.recordings, found.images, tuple(ids[i] for i in chosen))


def _files(folder: Path) -> dict[str, Path]:
    """The image files of a folder by their stimulus ids: their names, with and without their endings."""
    from ventralstream.data.listing import list_images

    names = list_images(folder)
    bare = {str(Path(name).with_suffix("")): folder / name for name in names}
    return bare | {name: folder / name for name in names}
