"""What is shown when, as people say it on the command line: 'constant', 'neural', 'flash:12', 'masked:3,10'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ventralstream.errors import VentralError, unknown

if TYPE_CHECKING:
    from ventralstream.presentation import Presentation

HELP = "'constant', 'neural' (26 steps, the image for 10 of them), or 'flash:12' (the image for 12 steps, then a blank)"
MASKED_HELP = (
    f"{HELP}, or 'masked:3,10,2' (the image for 3 steps, a mask for 10, with a gap of 2 between them, which may be left"
    " out)"
)


def presentation_of(text: str, masks: bool = False) -> Presentation:
    """The presentation that a text names.

    Args:
        text: As in `HELP`; with masks, as in `MASKED_HELP`.
        masks: Whether there are masks to be shown.
    """
    from ventralstream.presentation import Constant, Flash, Masked, Neural

    named = {"constant": Constant, "neural": Neural}
    kinds = (*named, "flash", *(("masked",) if masks else ()))
    name, _, numbers = text.partition(":")
    if name not in kinds:
        raise unknown("presentation", name, kinds)
    if text in named:
        return named[text]()
    counts = [int(n) for n in numbers.split(",") if n.isascii() and n.isdigit()]
    whole = len(counts) == len(numbers.split(","))
    if name == "flash" and whole and len(counts) == 1:
        return Flash(counts[0])
    if name == "masked" and whole and len(counts) in (2, 3):
        return Masked(counts[0], counts[1], counts[2] if len(counts) == 3 else 0)
    examples = ["'constant'", "'neural'", "'flash:12'", *(["'masked:3,10'"] if masks else [])]
    raise VentralError(f"the presentation is '{text}'; expected {', '.join(examples[:-1])}, or e.g. {examples[-1]}")
