"""What is shown when.

A presentation is a row of segments; the last one goes on for ever. Steps are counted from the first step of the
network (step 0), also when an unroll carries on from a state. The movie is the exception that has to be: its frames
are those of the steps being run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ventralstream.errors import VentralError
from ventralstream.jsonable import Spec, tagged
from ventralstream.values import Count, Natural, Real, checked

Shown = Literal["image", "mask", "movie", "blank"]


EXAMPLES = {
    "constant": "vs.Constant()",
    "flash": "vs.Flash(on=10)",
    "masked": "vs.Masked(on=3, mask=10)",
    "movie": "vs.Movie()",
    "neural": "vs.Neural()",
}


@dataclass(frozen=True)
class Frame:
    """What the network sees at one step, symbolically: equal frames are equal pictures."""

    shows: Shown
    index: int = 0
    value: float = 0.0
    space: Literal["normalised", "pixels"] = "normalised"

    @property
    def is_stimulus(self) -> bool:
        """Whether the frame depends on the stimulus given (a blank does not)."""
        return self.shows != "blank"


@tagged("segment")
@dataclass(frozen=True)
class Segment(Spec):
    """One thing shown for some steps.

    Attributes:
        shows: "image", "mask", "movie" or "blank".
        steps: How long; None is for ever (only in the last segment).
        value: The blank's value in every channel.
        space: Whether the blank's value is meant after the normalisation of images ("normalised": the published
            ConvRNNs show 0.5 there, which is not mid-grey) or before it ("pixels", 0 to 1).
    """

    shows: Shown
    steps: Count | None = None
    value: Real = 0.5
    space: Literal["normalised", "pixels"] = "normalised"


@tagged("presentation")
@dataclass(frozen=True)
class Presentation(Spec):
    """A row of segments; made with `Constant`, `Flash`, `Masked` or `Movie`, or by hand.

    Attributes:
        segments: What is shown, one after another.
        steps: How many steps are run of it where nobody says; None leaves that to the network.
    """

    segments: tuple[Segment, ...]
    steps: Count | None = None

    def check(self) -> None:
        if not self.segments:
            raise VentralError("a presentation needs at least one segment")
        if any(s.steps is None for s in self.segments[:-1]):
            raise VentralError("only the last segment of a presentation may go on for ever")
        if self.segments[-1].steps is not None:
            raise VentralError("the last segment of a presentation goes on for ever (steps=None)")
        if self.is_movie and len(self.segments) > 1:
            raise VentralError("a movie is a presentation of its own: put its blank frames into the movie")

    @property
    def is_movie(self) -> bool:
        """Whether each step has a frame of its own."""
        return any(s.shows == "movie" for s in self.segments)

    @property
    def shows_image(self) -> bool:
        """Whether the image (or the movie) is ever shown."""
        return any(s.shows in ("image", "movie") for s in self.segments)

    @property
    def onset(self) -> int:
        """The first step that shows the image (or the movie); times from stimulus onset count from it.

        Raises:
            VentralError: It is never shown.
        """
        begin = 0
        for segment in self.segments:
            if segment.shows in ("image", "movie"):
                return begin
            begin += segment.steps or 0
        raise VentralError("the presentation never shows the image")

    @property
    def last_change(self) -> int:
        """The first step from which the same frame is shown for ever (0 for a constant image or a movie)."""
        return sum(s.steps or 0 for s in self.segments)

    def frame(self, step: int, start: int = 0) -> Frame:
        """The frame at `step`, when the steps being run begin at `start`."""
        end = 0
        for segment in self.segments:
            end += segment.steps or 0
            if segment.steps is None or step < end:
                if segment.shows == "movie":
                    return Frame("movie", index=step - start)
                if segment.shows == "blank":
                    return Frame("blank", value=segment.value, space=segment.space)
                return Frame(segment.shows)
        raise AssertionError("the last segment is endless")


def Constant() -> Presentation:
    """The image at every step."""
    return Presentation((Segment("image"),))


@checked
def Flash(
    on: Count, before: Natural = 0, blank: Real = 0.5, space: Literal["normalised", "pixels"] = "normalised"
) -> Presentation:
    """The image for `on` steps, after `before` steps of blank, then the blank for ever.

    The default blank is that of the published ConvRNNs (0.5 after normalisation; docs/papers.md A.1).
    """
    empty = Segment("blank", value=blank, space=space)
    lead = (empty.replace(steps=before),) if before else ()
    return Presentation((*lead, Segment("image", on), empty))


@checked
def Masked(
    on: Count,
    mask: Count,
    gap: Natural = 0,
    blank: Real = 0.5,
    space: Literal["normalised", "pixels"] = "normalised",
) -> Presentation:
    """Backward masking: the image for `on` steps, a blank for `gap`, the mask for `mask`, then the blank.

    The stimulus-onset asynchrony is `(on + gap) * dt_ms`. The mask is given with the image:
    `net({"image": images, "mask": masks})`.
    """
    empty = Segment("blank", value=blank, space=space)
    between = (empty.replace(steps=gap),) if gap else ()
    return Presentation((Segment("image", on), *between, Segment("mask", mask), empty))


def Neural() -> Presentation:
    """As in recordings: the image for 100 ms, then the blank, 26 steps in all (Nayebi et al.; docs/papers.md A.1)."""
    return Flash(on=10).replace(steps=26)


def Movie() -> Presentation:
    """A frame for every step: the stimulus is `[batch, time, channel, height, width]`."""
    return Presentation((Segment("movie"),))
