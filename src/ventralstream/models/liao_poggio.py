"""Networks of paper C (Liao & Poggio 2016; papers.md C), CIFAR-sized.

States are areas without cells: a state's recurrence is a lateral connection with a transition. Transitions are
normalisation, ReLU, convolution, twice; normalisations are time-specific and have no gains. Widths, numbers of
steps and which entries carry the identity are our choice (the paper's tables are unknown).
"""

from __future__ import annotations

from ventralstream.layers.specs import Act, Conv, Deconv, GlobalPool, Layer, Linear, Norm
from ventralstream.models.convrnn_cifar import CIFAR_MEAN, CIFAR_STD
from ventralstream.models.registry import register_model
from ventralstream.presentation import Constant
from ventralstream.spec import Area, Connection, NetworkSpec

WIDTHS = (16, 32, 64)


def transition(source: int, target: int, scale: int, steps: int) -> tuple[Layer, ...]:
    """A transition function from `source` to `target` channels.

    Args:
        source, target: Channels; the inner ones are their mean.
        scale: How many times smaller the target's map is; negative for larger (top-down).
        steps: Steps with a normalisation of their own.
    """
    norm = Norm("batch", affine=False, per_step=steps)
    inner = (source + target) // 2
    first: Layer = Deconv(inner, max(3, -scale), -scale, bias=False) if scale < 0 else Conv(inner, 3, scale, bias=False)
    return (norm, Act("relu"), first, norm, Act("relu"), Conv(target, 3, bias=False))


def _network(
    name: str,
    states: tuple[Area, ...],
    connections: list[Connection],
    num_classes: int,
    steps: int,
    readout_from: int,
) -> NetworkSpec:
    decoder = Area(
        "decoder",
        output=(Norm("batch"), Act("relu"), GlobalPool(), Linear(num_classes)),
        window=(readout_from, None),
    )
    return NetworkSpec(
        name,
        (*states, decoder),
        (*connections, Connection(states[-1].name, "decoder", delay=0)),
        "decoder",
        input_shape=(3, 32, 32),
        steps=steps,
        presentation=Constant(),
        before_start="silent",
        init="he",
        mean=CIFAR_MEAN,
        std=CIFAR_STD,
    )


@register_model("liao_poggio")
def tied_resnet_cifar(num_classes: int = 10, repeats: int = 3) -> NetworkSpec:
    """A ResNet of three stages whose blocks share their weights: each stage is one state applied to itself.

    Args:
        num_classes: Classes.
        repeats: Residual blocks per stage, all with the same weights.
    """
    length = repeats + 1  # a stage receives its input, then repeats its block
    states = []
    connections: list[Connection] = []
    for i, width in enumerate(WIDTHS):
        state = f"state{i + 1}"
        states.append(Area(state, combine="add", window=(i * length, (i + 1) * length)))
        if i == 0:
            connections.append(
                Connection("image", state, delay=0, layers=(Conv(width, 3, bias=False),), arrives=(0, 1))
            )
        else:
            down = transition(WIDTHS[i - 1], width, 2, 0)
            connections.append(Connection(f"state{i}", state, layers=down, arrives=(0, 1)))
        block = transition(width, width, 1, length)
        connections.append(Connection(state, state, "lateral", layers=block, residual=True, arrives=(1, None)))
    return _network("tied_resnet_cifar", tuple(states), connections, num_classes, 3 * length, 2 * length)


@register_model("liao_poggio")
def recurrent3_cifar(num_classes: int = 10, steps: int = 8) -> NetworkSpec:
    """Three states, every pair connected in both directions (the fully recurrent network), image at step 0 only.

    Args:
        num_classes: Classes.
        steps: The readout time plus one; as many time-specific normalisations.
    """
    states = tuple(Area(f"state{i + 1}", combine="add", window=(i, None)) for i in range(3))
    connections = [Connection("image", "state1", delay=0, layers=(Conv(WIDTHS[0], 3, bias=False),), arrives=(0, 1))]
    for target in range(3):
        for source in range(3):
            if source == target:
                kind, scale = "lateral", 1
            elif source < target:
                kind, scale = ("feedforward" if target == source + 1 else "skip"), 2 ** (target - source)
            else:
                kind, scale = "feedback", -(2 ** (source - target))
            connections.append(
                Connection(
                    states[source].name,
                    states[target].name,
                    kind,  # type: ignore[arg-type]
                    layers=transition(WIDTHS[source], WIDTHS[target], scale, steps),
                    residual=source == target,
                )
            )
    return _network("recurrent3_cifar", states, connections, num_classes, steps, 2)
