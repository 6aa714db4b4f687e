"""The networks of Liao and Poggio 2016 (docs/papers.md C.1-C.3), for CIFAR's images.

States are areas without cells: what a state keeps comes through a lateral connection. A transition is normalisation,
ReLU, convolution, twice; its normalisations are time-specific and have no gains. Widths, numbers of steps and which
entries carry the identity are our choice (the paper's tables are unknown).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ventralstream.errors import VentralError, unknown
from ventralstream.layers.specs import Act, Conv, Deconv, GlobalPool, Layer, Linear, Norm
from ventralstream.models.cifar import silent_network
from ventralstream.models.registry import register_model
from ventralstream.spec import Area, Connection, NetworkSpec
from ventralstream.values import Channels, Count, Side

WIDTHS = (16, 32, 64)
ENTRIES = ("0", "I", "K", "K+I")
Matrix = Sequence[Sequence[str]]


def transition(source: int, target: int, scale: int, norms: int) -> tuple[Layer, ...]:
    """A transition function from `source` to `target` channels.

    Args:
        source, target: Channels; the inner ones are their mean.
        scale: How many times smaller the target's map is; negative for larger (top-down).
        norms: Steps with a normalisation of their own; 0 shares one over time.
    """
    norm = Norm("batch", affine=False, per_step=norms)
    inner = (source + target) // 2
    first: Layer = Deconv(inner, 3, -scale, bias=False) if scale < 0 else Conv(inner, 3, scale, bias=False)
    return (norm, Act("relu"), first, norm, Act("relu"), Conv(target, 3, bias=False))


def fully_recurrent(states: int) -> Matrix:
    """The transition matrix in which every state reaches every state, and keeps itself."""
    return tuple(tuple("K+I" if i == j else "K" for j in range(states)) for i in range(states))


def recurrent(
    matrix: Matrix,
    widths: Sequence[int],
    steps: Count,
    num_classes: Channels = 10,
    *,
    image: Literal["homogeneous", "inhomogeneous"] = "homogeneous",
    weights: Literal["shared", "time_variant"] = "shared",
    norms: Literal["time_specific", "shared"] = "time_specific",
    share_states: bool = False,
    name: str = "recurrent",
) -> NetworkSpec:
    """A network of states that reach each other as a matrix says (docs/papers.md C.2).

    State i has maps of 1 / 2^i of the image. All transitions take one step; a state exists from the first step at which
    something can reach it. The post-net reads the last state.

    Args:
        matrix: Entry (i, j) is the transition from state i to state j: "0" none, "I" the state itself, "K" a
            transition function, "K+I" both.
        widths: Channels of the states.
        steps: The readout time plus one.
        num_classes: Classes.
        image: Whether the image enters at step 0 only ("homogeneous") or at every step.
        weights: One set of weights for all steps, or one for each step at which a transition works.
        norms: Whether each step has normalisations of its own.
        share_states: Whether all transitions between states share one set of convolutions (needs equal widths).
        name: The spec's name.

    Raises:
        VentralError: for a matrix that is not square or has other entries, or states that nothing reaches.
    """
    count = len(widths)
    if len(matrix) != count or any(len(row) != count for row in matrix):
        raise VentralError(f"{count} states need a transition matrix of {count} rows of {count} entries")
    for row in matrix:
        for entry in row:
            if entry not in ENTRIES:
                raise unknown("entry", entry, ENTRIES, " of the transition matrix")
    if share_states and len(set(widths)) > 1:
        raise VentralError(f"states that share their convolutions need equal widths; got {tuple(widths)}")
    starts = _starts(matrix)
    if steps <= starts[-1]:
        raise VentralError(f"{steps} steps are too few: the last state is reached at step {starts[-1]}")
    names = [f"state{i + 1}" for i in range(count)]
    states = [Area(n, combine="add", window=(t, None)) for n, t in zip(names, starts, strict=True)]
    pre_net = (Conv(widths[0], 3, bias=False),)
    once = (0, 1) if image == "homogeneous" else (0, None)
    connections = [Connection("image", names[0], delay=0, layers=pre_net, arrives=once)]
    for i in range(count):
        for j in range(count):
            if matrix[i][j] == "0":
                continue
            works = steps - max(starts[j], starts[i] + 1)  # steps at which this transition works
            if works < 1:
                continue
            own = weights == "time_variant"
            per_step = works if norms == "time_specific" and not own else 0
            scale = 2 ** (j - i) if j >= i else -(2 ** (i - j))
            layers = () if matrix[i][j] == "I" else transition(widths[i], widths[j], scale, per_step)
            connections.append(
                Connection(
                    names[i],
                    names[j],
                    _kind(i, j),
                    layers=layers,
                    residual=matrix[i][j] == "K+I",
                    per_step=works if own and layers else 0,
                    shared="states" if share_states and layers else "",
                )
            )
    return _network(name, states, connections, num_classes, steps, starts[-1])


def _starts(matrix: Matrix) -> list[int]:
    """The step at which each state is first reached."""
    starts = {0: 0}
    for step in range(1, len(matrix)):
        reached = [i for i, t in starts.items() if t < step]
        starts |= {
            j: step for i in reached for j in range(len(matrix)) if matrix[i][j] != "0" and starts.get(j, step) == step
        }
    for j in range(len(matrix)):
        if j not in starts:
            raise VentralError(f"nothing reaches state {j + 1} of the transition matrix")
    return [starts[j] for j in range(len(matrix))]


def _kind(i: int, j: int) -> Literal["feedforward", "skip", "lateral", "feedback"]:
    if i == j:
        return "lateral"
    if i > j:
        return "feedback"
    return "feedforward" if j == i + 1 else "skip"


def _network(
    name: str,
    states: Sequence[Area],
    connections: Sequence[Connection],
    num_classes: Channels,
    steps: Count,
    readout_from: int,
) -> NetworkSpec:
    decoder = Area(
        "decoder",
        output=(Norm("batch"), Act("relu"), GlobalPool(), Linear(num_classes)),
        window=(readout_from, None),
    )
    read = Connection(states[-1].name, "decoder", delay=0)
    return silent_network(name, (*states, decoder), (*connections, read), steps, "he")


def resnet(
    widths: Sequence[int],
    repeats: Side,
    num_classes: Channels = 10,
    *,
    tied: bool = True,
    image: Literal["homogeneous", "inhomogeneous"] = "homogeneous",
    norms: Literal["time_specific", "shared"] = "time_specific",
    name: str = "resnet",
) -> NetworkSpec:
    """A ResNet of stages as states that are applied to themselves, one after another (docs/papers.md C.1).

    Args:
        widths: Channels of the stages; each halves the map.
        repeats: Residual blocks of each stage.
        num_classes: Classes.
        tied: Whether the blocks of a stage share their weights; else it is the ordinary ResNet (time-variant).
        image: "homogeneous" lets a stage's input in once; "inhomogeneous" at each of its steps.
        norms: Whether the blocks have normalisations of their own.
        name: The spec's name.
    """
    length = repeats + 1  # a stage receives its input, then repeats its block
    once = (0, 1) if image == "homogeneous" else (0, None)
    states, connections = [], []
    for i, width in enumerate(widths):
        state = f"state{i + 1}"
        states.append(Area(state, combine="add", window=(i * length, (i + 1) * length)))
        if i == 0:
            pre_net = (Conv(width, 3, bias=False),)
            connections.append(Connection("image", state, delay=0, layers=pre_net, arrives=once))
        else:
            down = transition(widths[i - 1], width, 2, 0)
            connections.append(Connection(f"state{i}", state, layers=down, arrives=once))
        block = transition(width, width, 1, repeats if norms == "time_specific" and tied else 0)
        connections.append(
            Connection(
                state,
                state,
                "lateral",
                layers=block,
                residual=True,
                arrives=(1, None),
                per_step=0 if tied else repeats,
            )
        )
    return _network(name, states, connections, num_classes, len(widths) * length, (len(widths) - 1) * length)


@register_model("liao_poggio")
def tied_resnet_cifar(
    num_classes: Channels = 10,
    repeats: Side = 3,
    image: Literal["homogeneous", "inhomogeneous"] = "homogeneous",
    norms: Literal["time_specific", "shared"] = "time_specific",
) -> NetworkSpec:
    """A ResNet of three stages whose blocks share their weights: each stage is one state applied to itself.

    Args:
        num_classes: Classes.
        repeats: Residual blocks per stage, all with the same weights.
        image, norms: See `resnet`.
    """
    return resnet(WIDTHS, repeats, num_classes, image=image, norms=norms)


@register_model("liao_poggio")
def untied_resnet_cifar(num_classes: Channels = 10, repeats: Side = 3) -> NetworkSpec:
    """The ordinary ResNet of three stages: every block has weights of its own."""
    return resnet(WIDTHS, repeats, num_classes, tied=False)


def _register_recurrent(count: str, widths: Sequence[int]) -> None:
    def spec(
        num_classes: Channels = 10,
        steps: Count = 8,
        image: Literal["homogeneous", "inhomogeneous"] = "homogeneous",
        weights: Literal["shared", "time_variant"] = "shared",
        norms: Literal["time_specific", "shared"] = "time_specific",
    ) -> NetworkSpec:
        matrix = fully_recurrent(len(widths))
        return recurrent(matrix, widths, steps, num_classes, image=image, weights=weights, norms=norms)

    spec.__doc__ = f"""{count} states, fully recurrent.

    Args:
        num_classes: Classes.
        steps: The readout time plus one.
        image, weights, norms: See `recurrent`.
    """
    register_model("liao_poggio", f"recurrent{len(widths)}_cifar")(spec)


_register_recurrent("Two", WIDTHS[:2])
_register_recurrent("Three", WIDTHS)
_register_recurrent("Four", (*WIDTHS, 64))


@register_model("liao_poggio")
def recurrent3_one_kernel_cifar(num_classes: Channels = 10, steps: Count = 8) -> NetworkSpec:
    """Three states of equal width, fully recurrent, one set of convolutions for all transitions."""
    return recurrent(fully_recurrent(3), (32, 32, 32), steps, num_classes, share_states=True)
