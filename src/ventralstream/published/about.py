"""What authors say of the weights that they publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Format = Literal["tensorflow", "cornet", "torchvision"]


@dataclass(frozen=True)
class PublishedFile:
    """A file in the authors' own place.

    Attributes:
        url: Its address.
        sha256: The first digits of its SHA-256, as many as the authors publish; "" if they publish none.
    """

    url: str
    sha256: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Published:
    """What the authors of published weights say of a model.

    Attributes:
        source: Paper and repository.
        weights_licence: Licence of the published weights.
        page: The authors' page from which one gets the weights.
        format: What the files are: a "tensorflow" checkpoint, or a state dict of "cornet" or "torchvision".
        files: The files; of a TensorFlow checkpoint the index first. Empty if there are none that can be downloaded.
        top1, top5: Accuracy on ImageNet's validation images, in percent; None where it is not known.
        sites: Recording sites by area, as the authors assign them.
    """

    source: str
    weights_licence: str
    page: str
    format: Format
    files: tuple[PublishedFile, ...] = ()
    top1: float | None = None
    top5: float | None = None
    sites: Mapping[str, str] = field(default_factory=dict)
