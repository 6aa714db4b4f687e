"""Two things that myst-nb leaves undone: output in whole lines, and the files of pictures that another page shows."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import myst_nb.core.render


def joined(outputs: list[Any]) -> list[Any]:
    """What a cell printed, in one piece for each stream; its own function breaks the line wherever a piece ends."""
    streams: dict[str, Any] = {}
    kept = []
    for output in outputs:
        if output["output_type"] != "stream":
            kept.append(output)
        elif output["name"] in streams:
            streams[output["name"]]["text"] += output["text"]
        else:
            streams[output["name"]] = output
            kept.append(output)
    return kept


def _finish(app: Any, error: Exception | None) -> None:
    """Writes the pictures that `glue` names, as files of the names that pages expect."""
    if error is not None:
        return
    folder = Path(app.outdir) / app.builder.imagedir
    for file in Path(app.env.mystnb_config.output_folder).rglob("*.glue.json"):
        for output in json.loads(file.read_text()).values():
            if picture := output["data"].get("image/png"):
                content = b64decode(picture)
                path = folder / f"{hashlib.sha256(content).hexdigest()}.png"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    myst_nb.core.render.coalesce_streams = joined
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True}
