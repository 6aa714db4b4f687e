"""What a part of the package needs beside the core, and the command that installs it.

The core (specs, networks, unrolls, records) needs torch, numpy, safetensors and networkx. The other parts say what they
need with `require`, so that a missing package is one sentence and not an ImportError from deep inside.
"""

from __future__ import annotations

import importlib.util

from ventralstream.errors import VentralError, unknown

# per extra, the names that are imported of what pyproject.toml installs for it
EXTRAS: dict[str, tuple[str, ...]] = {
    "cli": ("typer", "rich", "yaml"),
    "train": ("torchvision", "lightning", "tensorboard", "PIL", "sklearn", "rich", "yaml"),
    "extract": ("zarr", "xarray", "torchvision", "PIL", "rich"),
    "explore": (
        *("starlette", "uvicorn", "sklearn", "torchvision", "PIL"),
        *("typer", "rich", "yaml"),
    ),
    "brain": (
        *("xarray", "scipy", "pandas", "h5netcdf", "h5py", "rsatoolbox", "sklearn", "matplotlib", "pooch"),
        *("zarr", "torchvision", "PIL", "rich"),
    ),
    "slurm": ("submitit",),
    "search": (
        *("torchvision", "lightning", "tensorboard", "PIL", "sklearn", "rich", "yaml"),
        *("optuna", "sqlalchemy", "psycopg", "pandas"),
    ),
    "hub": ("huggingface_hub", "google_crc32c", "pooch", "torchvision", "rich"),
}


class MissingExtra(VentralError, ImportError):
    """A part of the package was used, of which the packages are not installed."""


# the rooms that need more than the core
ROOMS = {
    "ventralstream.brain": "brain",
    "ventralstream.cli": "cli",
    "ventralstream.explore": "explore",
    "ventralstream.features": "extract",
    "ventralstream.probes": "brain",
    "ventralstream.training": "train",
    "ventralstream.search": "search",
    "ventralstream.data": "train",
    "ventralstream.published": "hub",
    "ventralstream.checkpoints": "hub",
}


def require(extra: str, *packages: str) -> None:
    """Raises MissingExtra if packages of an extra are not installed.

    Args:
        extra: The extra; see `EXTRAS`.
        packages: Which of its packages; all of them if none is named.
    """
    if extra not in EXTRAS:
        raise unknown("extra", extra, EXTRAS)
    absent = [p for p in packages or EXTRAS[extra] if importlib.util.find_spec(p) is None]
    if absent:
        raise _missing(absent, extra)


def explain(error: ImportError, module: str) -> ImportError:
    """What to raise where importing `module` failed: one sentence if what is absent is a package of an extra.

    Where one room imports another, the extra is that of the room that the user asked for: the last one to explain.
    """
    package = (error.name or "").split(".")[0]
    room = next((extra for room, extra in ROOMS.items() if module == room or module.startswith(room + ".")), "")
    holders = [extra for extra, packages in EXTRAS.items() if package in packages]
    if not holders:
        return error
    explained = _missing([package], room if room in holders else holders[0])
    explained.name = package
    return explained


def _missing(packages: list[str], extra: str) -> MissingExtra:
    some = ", ".join(packages) if len(packages) <= 4 else f"{', '.join(packages[:3])} and {len(packages) - 3} others"
    verb = "is" if len(packages) == 1 else "are"
    return MissingExtra(f"{some} {verb} not installed; pip install 'ventralstream[{extra}]'")
