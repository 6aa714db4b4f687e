"""What the live server works with: networks, uploaded images, and traces that a newer request cancels."""

from __future__ import annotations

import gzip
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch.overrides import TorchFunctionMode

from ventralstream.data.image_file import decode_image
from ventralstream.errors import VentralError, printable, shortened, unknown
from ventralstream.explore import cuts
from ventralstream.explore.block import Block
from ventralstream.explore.examples import Pictures, examples, preprocessing
from ventralstream.explore.exhibit import beside, traced
from ventralstream.explore.page import joined
from ventralstream.explore.request import Asked, occluded, presentation_of
from ventralstream.models import open_model
from ventralstream.models.create import Opened

MOST_PIXELS = 25_000_000  # of an upload
MOST_UPLOADS = 12  # that are kept; the oldest goes
LARGEST_SIDE = 1024  # px to which a larger upload is brought
MOST_CLIENTS = 64


class Cancelled(Exception):
    """A newer request of the same client has come."""


class Turns:
    """Who is computing for which client: a new turn ends the one before."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, threading.Event] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, client: str) -> threading.Event:
        """Begins a client's turn, and ends its last one; the event says when this one is over, too."""
        with self._lock:
            if (before := self._turns.pop(client, None)) is not None:
                before.set()
            while len(self._turns) >= MOST_CLIENTS:
                self._turns.popitem(last=False)[1].set()
            self._turns[client] = threading.Event()
            return self._turns[client]

    def end_all(self) -> None:
        """Ends all turns, as when the server stops."""
        with self._lock:
            for event in self._turns.values():
                event.set()


class _Until(TorchFunctionMode):
    """Ends what torch is doing in this thread, between two operations, when an event is set."""

    def __init__(self, over: threading.Event) -> None:
        super().__init__()
        self.over = over

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.over.is_set():
            raise Cancelled
        return func(*args, **(kwargs or {}))


class Studio:
    """Networks that are offered, and the images that there are.

    Args:
        models: What `open_model` takes; the first is what the page begins with.
        seed: Of fresh weights.
    """

    def __init__(self, models: Sequence[str], seed: int = 0) -> None:
        self.models = tuple(dict.fromkeys(models))
        self.seed = seed
        self.turns = Turns()
        self._opened: dict[str, Opened] = {}
        self._cut: OrderedDict[tuple[str, ...], tuple[Opened, tuple[str, str]]] = OrderedDict()
        self._uploads: OrderedDict[str, tuple[str, Image.Image]] = OrderedDict()
        self._lock = threading.Lock()
        self.opened(self.models[0])

    def opened(self, model: str) -> Opened:
        """A network that is offered.

        Raises:
            VentralError: it is not offered. (So no request opens a file.)
        """
        if model not in self.models:
            raise unknown("network", printable(model), self.models)
        with self._lock:
            if model not in self._opened:
                self._opened[model] = open_model(model, self.seed)
            return self._opened[model]

    def upload(self, data: bytes, name: str) -> str:
        """Takes an image; gives the name by which it is asked for.

        Raises:
            VentralError: it cannot be read, or has more than 25 million pixels.
        """
        image = decode_image(data, 3, shortened(name), MOST_PIXELS)
        if max(image.size) > LARGEST_SIDE:
            image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
        key = f"upload-{secrets.token_hex(4)}"
        with self._lock:
            self._uploads[key] = (printable(shortened(name)), image)
            while len(self._uploads) > MOST_UPLOADS:
                self._uploads.popitem(last=False)
        return key

    def gallery(self, opened: Opened) -> tuple[list[str], Pictures]:
        """The images there are for a network, and what each is asked for by."""
        spec = opened.network.spec
        found = examples(spec, opened.class_names)
        keys = [f"example-{i}" for i in range(len(found.names))]
        with self._lock:
            uploads = list(self._uploads.items())
        if not uploads:
            return keys, found
        how = preprocessing(spec)
        mode = "RGB" if how.channels == 3 else "L"
        mine = torch.stack([how.pixels(image.convert(mode)) for _, (_, image) in uploads])
        pictures = Pictures(
            torch.cat([mine, found.pixels]),
            tuple(name for _, (name, _) in uploads) + found.names,
            ("",) * len(uploads) + found.truths,
            found.source,
        )
        return [key for key, _ in uploads] + keys, pictures

    def answer(self, request: Asked, over: threading.Event) -> bytes:
        """The traces for a request, as one line of JSON and a compressed block.

        Raises:
            VentralError: for what is not there or cannot be run.
            Cancelled: `over` was set meanwhile.
        """
        with _Until(over):
            opened = self.opened(request.model)
            keys, pictures = self.gallery(opened)
            if request.image not in keys:
                raise VentralError("that image is not there any more; choose another, or drop it in again")
            at = keys.index(request.image)
            spec = opened.network.spec
            one = Pictures(
                occluded(pictures.pixels[at : at + 1], request.occluder, spec.mean),
                pictures.names[at : at + 1],
                pictures.truths[at : at + 1],
                pictures.source,
            )
            run = partial(
                traced, pictures=one, steps=request.steps or None, presentation=presentation_of(request, spec)
            )
            traces, tags = [run(opened)], [opened.name]
            if request.cut:
                other, named = self._without(opened, request)
                traces, tags = [*traces, run(other)], list(named)
        header, block = joined(traces, tags, title=opened.name)
        more = Block()
        place = more.add(pictures.pixels.permute(0, 2, 3, 1).numpy())
        header["gallery"] = {
            "keys": keys,
            "names": list(pictures.names),
            "truths": list(pictures.truths),
            "image": place | {"at": len(block)},
            "chosen": at,
        }
        header["network"] = self.about(opened)
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        return text + b"\n" + gzip.compress(block + more.bytes(), 1, mtime=0)

    def about(self, opened: Opened) -> dict[str, Any]:
        """What can be chosen of a network: what can be cut, and how it is run by default."""
        spec = opened.network.spec
        first = spec.presentation.segments[0]
        return {
            "cuttable": cuts.separable(spec),
            "dt_ms": spec.dt_ms,
            "steps": opened.network.count_steps(None, None),
            "on": first.steps or 0 if first.shows == "image" else 0,
        }

    def _without(self, opened: Opened, request: Asked) -> tuple[Opened, tuple[str, str]]:
        key = (request.model, *sorted(set(request.cut)))
        with self._lock:
            if key in self._cut:
                return self._cut[key]
        made = beside(opened, "cut:" + ",".join(key[1:]))
        with self._lock:
            self._cut[key] = made
            while len(self._cut) > MOST_UPLOADS:
                self._cut.popitem(last=False)
        return made
