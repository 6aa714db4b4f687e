"""The ConvRNNs of Nayebi et al. 2018 and 2022: networks of 6 ("shallow") and 11 ("intermediate") areas.

Every connection takes one step of 10 ms. As in the published code, an area without another cell has an untrained time
decay, which is 0. The facts stand in docs/papers.md A.1-A.4 and A.7.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ventralstream.cells import GRU, LSTM, UGRNN, Decay, IntersectionRNN, Reciprocal, SimpleRNN
from ventralstream.layers.specs import Act, AddInput, Conv, GlobalPool, Layer, Linear, Pool
from ventralstream.models.registry import register_model
from ventralstream.presentation import Constant, Flash
from ventralstream.published.about import Published, PublishedFile
from ventralstream.readout import MaxConfidence, Readout, Threshold
from ventralstream.spec import Area, CellSpec, Connection, NetworkSpec
from ventralstream.timing import minimal_steps
from ventralstream.values import Channels

CELL_AREAS = ("conv3", "conv4", "conv5")  # of the shallow networks
INTERMEDIATE_CELL_AREAS = tuple(f"conv{i}" for i in range(4, 11))
MEMORY = Decay(trainable=False)
IMAGE_ON = 12  # steps, in training
SHALLOW_STEPS, INTERMEDIATE_STEPS = 16, 17
SHALLOW_CHANNELS = (64, 128, 256, 256, 512)
INTERMEDIATE_CHANNELS = (64, 64, 64, 128, 128, 256, 256, 512, 512, 512)
RGC_CHANNELS = (64, 128, 128, 128, 128, 256, 256, 256, 512, 512)
POOLED = (1, 4, 6, 7, 10)  # areas of the intermediate networks that end in a pooling
FEEDBACK = (("conv8", "conv5"), ("conv7", "conv6"), ("conv9", "conv6"), ("conv10", "conv7"), ("conv10", "conv9"))
ELU = Act("elu")


def chain(areas: Sequence[Area], delay: int = 1) -> tuple[Connection, ...]:
    """Feedforward connections from the image through all areas; the image itself is seen without delay."""
    names = [a.name for a in areas]
    first = Connection("image", names[0], delay=0)
    return (first, *(Connection(s, t, delay=delay) for s, t in itertools.pairwise(names)))


def shallow(
    cells: Mapping[str, CellSpec],
    num_classes: Channels = 1000,
    channels: Sequence[int] = SHALLOW_CHANNELS,
    activated: bool = False,
    memory: CellSpec | None = MEMORY,
) -> NetworkSpec:
    """The 224-px network of six areas.

    Args:
        cells: Cells by area.
        num_classes: Classes.
        channels: Of conv1 to conv5.
        activated: Whether the convolutions of conv3 to conv5 end in an ELU (in the published networks only those
            with a Reciprocal Gated Cell do).
        memory: The cell of all other areas.
    """
    act = (ELU,) if activated else ()
    areas = [
        Area("conv1", (Conv(channels[0], 7, 2), ELU), memory, (Pool(),)),
        Area("conv2", (Conv(channels[1]), ELU), memory, (Pool(),)),
        *(
            Area(name, (Conv(width), *act), cells.get(name, memory), (Pool(),))
            for name, width in zip(CELL_AREAS, channels[2:], strict=True)
        ),
        Area("decoder", (Conv(num_classes, 2, padding="valid"),), memory, (GlobalPool(),)),
    ]
    return _convrnn("shallow", areas, (), SHALLOW_STEPS)


def intermediate(
    cells: Mapping[str, CellSpec],
    num_classes: Channels = 1000,
    channels: Sequence[int] = INTERMEDIATE_CHANNELS,
    memory: CellSpec | None = MEMORY,
) -> NetworkSpec:
    """The 224-px network of eleven areas: residual blocks (convolution, cell, convolution, plus the area's input).

    Args:
        cells: Cells by area.
        num_classes: Classes.
        channels: Of conv1 to conv10.
        memory: The cell of all other areas.
    """
    areas = [Area("conv1", (Conv(channels[0], 7, 2),), memory, (ELU, Pool()))]
    for i, width in enumerate(channels[1:], 2):
        output = (Conv(width), AddInput(), ELU, *_pool(i))
        areas.append(Area(f"conv{i}", (Conv(width), ELU), cells.get(f"conv{i}", memory), output))
    return _convrnn("intermediate", [*areas, _linear_decoder(num_classes, memory)], (), INTERMEDIATE_STEPS)


def intermediate_reciprocal(
    cell: CellSpec,
    num_classes: Channels = 1000,
    channels: Sequence[int] = RGC_CHANNELS,
    feedback: Sequence[tuple[str, str]] = FEEDBACK,
) -> NetworkSpec:
    """The 224-px network of eleven areas whose residual connections are in the cells of conv4 to conv10.

    Args:
        cell: Their cell.
        num_classes: Classes.
        channels: Of conv1 to conv10.
        feedback: Long-range connections (source, target); their order is the order of their channels at a target.
    """
    areas = [Area("conv1", (Conv(channels[0], 7, 2),), MEMORY, (ELU, Pool()))]
    for i, width in enumerate(channels[1:], 2):
        if f"conv{i}" in INTERMEDIATE_CELL_AREAS:
            areas.append(Area(f"conv{i}", (Conv(width),), cell, _pool(i)))
        else:
            areas.append(Area(f"conv{i}", (Conv(width),), MEMORY, (ELU,)))
    back = tuple(Connection(source, target, "feedback") for source, target in feedback)
    return _convrnn("intermediate", [*areas, _linear_decoder(num_classes, MEMORY)], back, INTERMEDIATE_STEPS)


def _pool(area: int) -> tuple[Layer, ...]:
    return (Pool(),) if area in POOLED else ()


def _linear_decoder(num_classes: Channels, memory: CellSpec | None) -> Area:
    return Area("decoder", (GlobalPool(), Linear(num_classes)), memory)


def _convrnn(name: str, areas: Sequence[Area], more: tuple[Connection, ...], steps: int) -> NetworkSpec:
    return NetworkSpec(
        name,
        tuple(areas),
        (*chain(areas), *more),
        "decoder",
        steps=steps,
        presentation=Flash(on=IMAGE_ON),
        init="convrnn",
    )


def everywhere(cell: CellSpec, areas: Sequence[str] = CELL_AREAS) -> dict[str, CellSpec]:
    """The same cell in all areas that have one."""
    return dict.fromkeys(areas, cell)


def minimal(spec: NetworkSpec) -> NetworkSpec:
    """The minimal unroll: the same network for the fewest steps that use every recurrent path (docs/papers.md A.1)."""
    return spec.replace(steps=minimal_steps(spec))


def simple_reciprocal() -> Reciprocal:
    """The simple Reciprocal Gated Cell of 2018 (rgc_shallow)."""
    return Reciprocal()


def median_reciprocal() -> Reciprocal:
    """The searched "median" Reciprocal Gated Cell (rgc_intermediate)."""
    tau, gate = 0.9219348064291611, 0.7006566684988862
    return Reciprocal(
        cell_channels=64,
        tau_kernel=7,
        tau_separable=True,
        tau_offset=tau,
        tau_multiplier=-tau,
        gate_kernel=7,
        gate_separable=True,
        gate_activation="tanh",
        gate_offset=gate,
        gate_multiplier=-gate,
        gate_bias=True,
        input_to_out=True,
        input_kernel=2,
        input_bias=True,
        out_residual=True,
        residual_to_out_gate=False,
        input_activation="elu",
    )


def _shallow_lstms() -> dict[str, CellSpec]:
    """The searched LSTMs of the shallow network."""
    return {
        "conv3": LSTM(128, 2, 1.3561755203084322, layer_norm=True),
        "conv4": LSTM(256, 3, 0.977962918535079, peepholes=True, layer_norm=True),
        "conv5": LSTM(256, 4, 0.9249280259963113, layer_norm=True),
    }


def _shallow_rnns() -> dict[str, CellSpec]:
    widths = (128, 256, 256)
    return {a: SimpleRNN(channels=w, layer_norm=True) for a, w in zip(CELL_AREAS, widths, strict=True)}


SHALLOW_CELLS: dict[str, Callable[[], dict[str, CellSpec]]] = {
    "timedecay": lambda: everywhere(Decay()),
    "simplernn": _shallow_rnns,
    "gru": lambda: everywhere(GRU()),
    "lstm": _shallow_lstms,
    "intersectionrnn": lambda: everywhere(IntersectionRNN()),
    "ugrnn": lambda: everywhere(UGRNN()),
    "rgc": lambda: everywhere(simple_reciprocal()),
}
INTERMEDIATE_CELLS: dict[str, Callable[[], CellSpec]] = {
    "timedecay": Decay,
    "simplernn": SimpleRNN,
    "gru": GRU,
    "lstm": LSTM,
    "intersectionrnn": IntersectionRNN,
    "ugrnn": UGRNN,
    "rgc": median_reciprocal,
}
CELL_TITLES = {
    "timedecay": "time decay",
    "simplernn": "simple RNN",
    "gru": "GRU",
    "lstm": "LSTM",
    "intersectionrnn": "intersection RNN",
    "ugrnn": "update-gate RNN",
    "rgc": "Reciprocal Gated Cell",
}


def _shallow_of(cell: str, num_classes: Channels) -> NetworkSpec:
    return shallow(SHALLOW_CELLS[cell](), num_classes, activated=cell == "rgc")


def _intermediate_of(cell: str, num_classes: Channels) -> NetworkSpec:
    if cell == "rgc":
        return intermediate_reciprocal(median_reciprocal(), num_classes)
    return intermediate(everywhere(INTERMEDIATE_CELLS[cell](), INTERMEDIATE_CELL_AREAS), num_classes)


def _variant_of(cell: str, on: int | None, readout: Readout | None, num_classes: Channels) -> NetworkSpec:
    """The intermediate network with the image on for all of `on` steps, or with another readout."""
    spec = _intermediate_of(cell, num_classes)
    spec = spec if on is None else spec.replace(steps=on, presentation=Constant())
    return spec if readout is None else spec.replace(readout=readout)


# ImageNet accuracies (top 1, top 5, in percent) as the authors of the published weights give them (docs/papers.md A.2).
_SHALLOW_ACCURACY = {
    "timedecay": (50.06, 72.97),
    "simplernn": (61.11, 83.15),
    "gru": (62.16, 84.02),
    "lstm": (63.43, 84.89),
    "intersectionrnn": (65.42, 86.02),
    "ugrnn": (60.82, 83.23),
    "rgc": (66.97, 87.02),
}
_INTERMEDIATE_ACCURACY = {
    "timedecay": (67.52, 87.80),
    "simplernn": (70.47, 89.48),
    "gru": (69.81, 89.25),
    "lstm": (69.57, 89.18),
    "intersectionrnn": (68.98, 88.67),
    "ugrnn": (69.78, 89.21),
    "rgc": (73.0, 91.16),
}
DECODER_START = 11  # the first step that the decoders over time look at: one after the image first drives the logits
_DTHRESH, _TMAXCONF = Threshold(start=DECODER_START), MaxConfidence(start=DECODER_START)
# name: (cell, steps if the image stays on, readout, top 1, top 5)
_VARIANTS: dict[str, tuple[str, int | None, Readout | None, float, float]] = {
    "ugrnn_intermediate_t30": ("ugrnn", 30, None, 70.09, 89.29),
    "ugrnn_intermediate_t30_dthresh": ("ugrnn", 30, _DTHRESH, 69.30, 88.97),
    "ugrnn_intermediate_t30_tmaxconf": ("ugrnn", 30, _TMAXCONF, 70.04, 89.29),
    "rgc_intermediate_dthresh": ("rgc", None, _DTHRESH, 71.81, 90.16),
    "rgc_intermediate_tmaxconf": ("rgc", None, _TMAXCONF, 72.29, 90.52),
    "rgc_intermediate_t22_tmaxconf": ("rgc", 22, _TMAXCONF, 72.98, 90.80),
}
_SHALLOW_SITES = {"conv3": "V4", "conv4": "pIT", "conv5": "cIT/aIT"}
_INTERMEDIATE_SITES = {
    **dict.fromkeys(("conv5", "conv6"), "V4"),
    **dict.fromkeys(("conv7", "conv8"), "pIT"),
    **dict.fromkeys(("conv9", "conv10"), "cIT/aIT"),
}
_SOURCE = "Nayebi et al. 2018 (arXiv 1807.00053) and 2022 (Neural Computation 34:1652-1675), neuroailab/convrnns"
_PAGE = "https://github.com/neuroailab/convrnns"
_FILES = "https://convrnnckpts.s3-us-west-1.amazonaws.com"  # they publish no checksums


def _register(
    name: str, make: Callable[[int], NetworkSpec], summary: str, accuracy: tuple[float, float], sites: dict[str, str]
) -> None:
    def spec(num_classes: Channels = 1000) -> NetworkSpec:
        return make(num_classes)

    spec.__doc__ = summary
    files = tuple(PublishedFile(f"{_FILES}/{name}/model.ckpt.{part}") for part in ("index", "data-00000-of-00001"))
    published = Published(_SOURCE, "none stated", _PAGE, "tensorflow", files, *accuracy, sites)
    register_model("convrnn", name, published)(spec)


def _register_all() -> None:
    for cell, title in CELL_TITLES.items():
        _register(
            f"{cell}_shallow",
            partial(_shallow_of, cell),
            f"Six areas, {title} in conv3 to conv5 (Nayebi et al. 2018).",
            _SHALLOW_ACCURACY[cell],
            _SHALLOW_SITES,
        )
    for cell, title in CELL_TITLES.items():
        extra = " and five feedback connections" if cell == "rgc" else ""
        _register(
            f"{cell}_intermediate",
            partial(_intermediate_of, cell),
            f"Eleven areas, {title} in conv4 to conv10{extra} (Nayebi et al. 2018).",
            _INTERMEDIATE_ACCURACY[cell],
            _INTERMEDIATE_SITES,
        )
    for name, (cell, on, readout, top1, top5) in _VARIANTS.items():
        told = [f"{on} steps with the image on" if on else "", f"readout '{readout.tag}'" if readout else ""]
        summary = f"{cell}_intermediate with {' and '.join(t for t in told if t)} (Nayebi et al. 2022)."
        _register(name, partial(_variant_of, cell, on, readout), summary, (top1, top5), _INTERMEDIATE_SITES)


_register_all()


@register_model("convrnn")
def rgc_shallow_minimal(num_classes: Channels = 1000) -> NetworkSpec:
    """rgc_shallow for the fewest steps that use every recurrent path (minimal unroll, Nayebi et al. 2018)."""
    return minimal(_shallow_of("rgc", num_classes))


@register_model("convrnn")
def rgc_intermediate_minimal(num_classes: Channels = 1000) -> NetworkSpec:
    """rgc_intermediate for the fewest steps that use every recurrent path (minimal unroll, Nayebi et al. 2018)."""
    return minimal(_intermediate_of("rgc", num_classes))
