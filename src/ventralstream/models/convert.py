"""Published weights to ours: the authors' files in, a network or a saved one out."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from ventralstream.checkpoints import save_network
from ventralstream.errors import VentralError, printable
from ventralstream.files import why_no_file
from ventralstream.models.registry import build, model_entry, model_spec
from ventralstream.network import Network
from ventralstream.published.about import Published
from ventralstream.published.download import downloaded
from ventralstream.published.load import load_published, sha256_of
from ventralstream.version import __version__

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Provenance:
    """Where weights come from; `provenance.json` beside them.

    Attributes:
        model: The registered model.
        source: Paper and repository.
        licence: Of the weights, as far as their authors state one.
        files: SHA-256 of each file that was read, by name.
        class_names: Names of the classes in the order of the logits; empty if they are not known. That published
            networks for ImageNet use its usual order (that of torchvision) is our assumption.
        converted_by: This package and its version.
    """

    model: str
    source: str
    licence: str
    files: dict[str, str]
    class_names: tuple[str, ...]
    converted_by: str


def convert(source: str | Path | None, model: str, out: str | Path, num_classes: int = IMAGENET_CLASSES) -> Network:
    """Reads published weights of a registered model and writes them as a saved network.

    Args:
        source: A TensorFlow checkpoint for a ConvRNN (its prefix, or its `.index` file); a torch state dict
            (`.pth`, read without unpickling anything but tensors) or `.safetensors` for a CORnet or a ResNet. None:
            what the authors publish, downloaded if it is not yet on this disk (docs/how-to/weights.md).
        model: Name of the registered model.
        out: Folder to write; `config.json` (the spec, with normalisation, presentation and readout),
            `model.safetensors` and `provenance.json`.
        num_classes: Classes of the weights.

    Returns:
        The network, in evaluation mode.

    Raises:
        VentralError: if the file is not there (the message says where it is published), cannot be read or does not fit
            the model (what is missing, left over or misshapen is listed), or no published weights are known of the
            model.
    """
    network, files = read_published(model, None if source is None else Path(source), num_classes)
    published = published_of(model)
    provenance = Provenance(
        model,
        published.source,
        published.weights_licence,
        {f.name: sha256_of(f) for f in files},
        imagenet_classes() if num_classes == IMAGENET_CLASSES else (),
        f"ventralstream {__version__}",
    )
    save_network(network, out, asdict(provenance))
    return network


def read_published(
    model: str, source: Path | None = None, num_classes: int = IMAGENET_CLASSES
) -> tuple[Network, list[Path]]:
    """A registered model with published weights, in evaluation mode, and the files that were read; see `convert`."""
    published = published_of(model)
    if source is not None:
        of_tensorflow = published.format == "tensorflow"
        first = Path(f"{source}.index") if of_tensorflow and not source.name.endswith(".index") else source
        if all(why_no_file(path) in ("there is no such file", "it is a link to nothing") for path in (source, first)):
            kind = "a TensorFlow checkpoint" if of_tensorflow else "a state dict"
            raise VentralError(
                f"there is no file '{printable(first)}'; expected {kind}: the weights of '{model}' are published at"
                f" {published.page}"
            )
    spec = model_spec(model, num_classes=num_classes)
    with downloaded(model, published) if source is None else nullcontext(source) as path:
        network = build(spec)
        return network.eval(), load_published(network, published.format, path)


def published_of(model: str) -> Published:
    """What is published of a model; VentralError if nothing is known."""
    published = model_entry(model).published
    if published is None:
        raise VentralError(f"no published weights are known of '{model}'; see list_models(published=True)")
    return published


def imagenet_classes() -> tuple[str, ...]:
    """ImageNet's class names in its usual order, as torchvision carries them."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
