"""The networks of runs.yaml by name. They are narrow: what is compared is compared at a size that can be run often."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from plan import Network

from ventralstream.cells import GRU, LSTM, UGRNN, CORnetS, Decay, IntersectionRNN, Reciprocal, SimpleRNN
from ventralstream.demo.experiment import FEEDFORWARD, RECURRENT, Settings
from ventralstream.demo.experiment import specs as demo_specs
from ventralstream.errors import unknown
from ventralstream.layers.specs import Act, Conv, Norm, Pool
from ventralstream.models import count_parameters
from ventralstream.models.cifar import CIFAR_MEAN, CIFAR_STD
from ventralstream.models.convrnn import CELL_AREAS, everywhere, minimal
from ventralstream.models.convrnn_cifar import DECODER_START, Norms, shallow_small
from ventralstream.models.cornet import AREAS, circuit
from ventralstream.models.liao_poggio import fully_recurrent, recurrent, resnet
from ventralstream.models.rcnn_cifar import rcnn
from ventralstream.search import table
from ventralstream.spec import CellSpec, Connection, NetworkSpec, spec_from_json

Maker = Callable[[], NetworkSpec]
NARROW = 32
STEPS = 8  # of the networks of cells: three at which the logits are driven
RESNET_WIDTHS, REPEATS = (16, 32, 64), 3
THREE_STATES, STATES_STEPS = (16, 16, 16), 6
CORNET_WIDTHS, CORNET_STRIDES, CORNET_TIMES = (32, 32, 32), (2, 2, 1), (2, 4, 2)


def spread(total: int, areas: int) -> tuple[int, ...]:
    """Channels of some areas that add up to `total`, as equal as can be, the last ones larger."""
    return tuple((total + i) // areas for i in range(areas))


def matched(make: Callable[[tuple[int, ...]], NetworkSpec], areas: int, target: NetworkSpec) -> NetworkSpec:
    """The network whose channels are as equal as can be and whose parameters come nearest to those of `target`."""
    wanted = count_parameters(target)
    low, high = areas, 1024 * areas
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count_parameters(make(spread(middle, areas))) <= wanted else (low, middle)
    near = [make(spread(total, areas)) for total in (low, high)]
    return min(near, key=lambda spec: abs(count_parameters(spec) - wanted))


def recurrent_convolutions(channels: Sequence[int] = (NARROW,) * 3, **options: object) -> NetworkSpec:
    """Three areas of recurrent convolutional layers, three steps."""
    return rcnn(channels, first_channels=16, **options)  # type: ignore[arg-type]


def with_cell(cell: CellSpec | None, channels: Sequence[int] = (NARROW,) * 5, deeper: int = 1) -> NetworkSpec:
    """The base network of paper A: a cell in conv3 to conv5, or none; conv3 to conv5 `deeper` times as deep."""
    steps = STEPS if cell is not None else DECODER_START + 1
    cells = everywhere(cell) if cell is not None else {}
    spec = shallow_small(cells, channels=channels, steps=steps, norms="time_specific")
    areas = tuple(a.replace(drive=a.drive * deeper) if a.name in CELL_AREAS else a for a in spec.areas)
    return spec.replace(areas=areas)


def cell_as_many(cell: CellSpec) -> NetworkSpec:
    """The network with another cell, with as many parameters as that of Reciprocal Gated Cells."""
    return matched(lambda channels: with_cell(cell, channels), 5, with_cell(Reciprocal()))


def with_feedback(channels: Sequence[int]) -> NetworkSpec:
    """The network of Reciprocal Gated Cells with long-range feedback from conv5 to conv3."""
    spec = with_cell(Reciprocal(), channels)
    return spec.replace(connections=(*spec.connections, Connection("conv5", "conv3", "feedback")))


def states(count: int, steps: int = STATES_STEPS) -> NetworkSpec:
    """A fully recurrent network of some states, with as many parameters as that of three."""

    def make(widths: Sequence[int]) -> NetworkSpec:
        return recurrent(fully_recurrent(len(widths)), widths, steps)

    return make(THREE_STATES) if count == 3 else matched(make, count, make(THREE_STATES))


def cornet(times: Sequence[int] = CORNET_TIMES, scale: int = 4, **options: object) -> NetworkSpec:
    """CORnet-S, narrow, behind a first area of two small kernels."""
    stem = (Conv(16), Norm(), Act("relu"), Conv(32, bias=False), Pool(), Norm(), Act("relu"))
    cells = [
        CORnetS(count, scale, stride=stride, **options)  # type: ignore[arg-type]
        for count, stride in zip(times, CORNET_STRIDES, strict=True)
    ]
    spec = circuit("cornet_s_narrow", AREAS, stem, CORNET_WIDTHS, cells, 10)
    return spec.replace(input_shape=(3, 32, 32), mean=CIFAR_MEAN, std=CIFAR_STD)


def of_the_demo(name: str, norms: Norms = "none") -> NetworkSpec:
    """The demo's network of that name, with normalisation if asked for."""
    return demo_specs(Settings(), norms)[name]


def searched(spec_hash: str, path: Path | None = None) -> NetworkSpec:
    """A network of the table of the architecture search, by its spec's hash.

    Args:
        spec_hash: The hash, as it stands in the table.
        path: Another table than the package's own.

    Raises:
        VentralError: if the table has no such network.
    """
    rows = table(path).dropna(subset=["spec"])
    found = rows[rows["spec_hash"] == spec_hash]
    if not len(found):
        raise unknown("hash of a network", spec_hash, list(rows["spec_hash"]), " in the table of the search")
    return spec_from_json(found.iloc[0]["spec"])


def make(name: str, networks: Mapping[str, Network], path: Path | None = None) -> NetworkSpec:
    """A network of the list.

    Args:
        name: Its name.
        networks: What runs.yaml says of all.
        path: Of the table of the search, if it is not the package's own.
    """
    entry = networks[name]
    if entry.searched:
        return searched(entry.searched, path)
    if entry.as_many_as:
        return matched(lambda channels: with_cell(Reciprocal(), channels), 5, make(entry.as_many_as, networks, path))
    return NETWORKS[name]()


NETWORKS: dict[str, Maker] = {
    "rcnn": recurrent_convolutions,
    "rcnn_one_norm": lambda: recurrent_convolutions(norms="shared"),
    "rcnn_wide": lambda: matched(
        lambda c: recurrent_convolutions(c, steps=1, lateral=False), 3, recurrent_convolutions()
    ),
    "rcnn_deep": lambda: recurrent_convolutions(steps=1, lateral=False, depth=2),
    "cell_rnn": lambda: with_cell(SimpleRNN()),
    "cell_gru": lambda: with_cell(GRU()),
    "cell_lstm": lambda: with_cell(LSTM()),
    "cell_ugrnn": lambda: with_cell(UGRNN()),
    "cell_intersection": lambda: with_cell(IntersectionRNN()),
    "cell_decay": lambda: with_cell(Decay()),
    "cell_rgc": lambda: with_cell(Reciprocal()),
    **{
        f"cell_{name}_matched": partial(cell_as_many, cell)
        for name, cell in {
            "rnn": SimpleRNN(),
            "lstm": LSTM(),
            "ugrnn": UGRNN(),
            "intersection": IntersectionRNN(),
            "decay": Decay(),
        }.items()
    },
    "rgc_minimal": lambda: minimal(with_cell(Reciprocal())),
    "rgc_feedback": lambda: matched(with_feedback, 5, with_cell(Reciprocal())),
    "ff_wide": lambda: matched(lambda c: with_cell(None, c), 5, with_cell(Reciprocal())),
    "ff_deep": lambda: matched(lambda c: with_cell(None, c, 2), 5, with_cell(Reciprocal())),
    "tied": lambda: resnet(RESNET_WIDTHS, REPEATS),
    "tied_one_norm": lambda: resnet(RESNET_WIDTHS, REPEATS, norms="shared"),
    "untied": lambda: resnet(RESNET_WIDTHS, REPEATS, tied=False),
    "states2": lambda: states(2),
    "states3": lambda: states(3),
    "states4": lambda: states(4),
    "states3_t4": lambda: states(3, 4),
    "states3_t8": lambda: states(3, 8),
    "cornet": cornet,
    "cornet_111": lambda: cornet((1, 1, 1)),
    "cornet_444": lambda: cornet((4, 4, 4)),
    "cornet_soft": lambda: cornet(gate="soft"),
    "cornet_1x": lambda: cornet(scale=1),
    "cornet_two_convs": lambda: cornet(first_conv=False),
    "cornet_no_skip": lambda: cornet(skip=False),
    "cornet_group": lambda: cornet(norm="group"),
    "demo_recurrent": lambda: of_the_demo(RECURRENT),
    "demo_recurrent_last": lambda: of_the_demo(RECURRENT),
    "demo_recurrent_long": lambda: of_the_demo(RECURRENT),
    "demo_recurrent_norm": lambda: of_the_demo(RECURRENT, "time_specific"),
    "demo_recurrent_norm_long": lambda: of_the_demo(RECURRENT, "time_specific"),
    "demo_feedforward": lambda: of_the_demo(FEEDFORWARD),
    "demo_feedforward_long": lambda: of_the_demo(FEEDFORWARD),
    "demo_feedforward_norm": lambda: of_the_demo(FEEDFORWARD, "time_specific"),
    "demo_feedforward_norm_long": lambda: of_the_demo(FEEDFORWARD, "time_specific"),
}
