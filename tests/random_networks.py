"""Random networks of every layer, cell, option and kind of connection, valid or not, for property tests."""

from __future__ import annotations

import dataclasses
import typing
from typing import Annotated, Any, Literal

from hypothesis import strategies as st

import ventralstream as vs
from ventralstream.cells import list_cells
from ventralstream.jsonable import hints, spec_class, tags
from ventralstream.layers.specs import GlobalPool, Layer, Linear

SMALL = (1, 2, 3, 4, 6)


def of_the_package(names: list[str]) -> list[str]:
    """Those that no test has registered."""
    return [name for name in names if spec_class(name).__module__.startswith("ventralstream.")]


def field(draw: st.DrawFn, name: str, hint: Any, default: Any) -> Any:
    """A value for a field: often the default, else anything small that its annotation allows."""
    if default is not dataclasses.MISSING and draw(st.integers(0, 2)) == 0:
        return default
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        hint, within = args[0], args[1]
        pool = (0, *SMALL) if hint is int else (-1.5, -0.5, 0.0, 1e-5, 0.25, 0.5, 1.0, 2.0)
        return draw(st.sampled_from([v for v in pool if v in within]))
    if origin is Literal:
        return draw(st.sampled_from([a for a in args if a != "error"]))  # Norm.past_end asks for a refusal
    if hint is bool:
        return draw(st.booleans())
    if args:  # a union
        return field(draw, name, draw(st.sampled_from(args)), dataclasses.MISSING)
    raise AssertionError(f"no values for {name}: {hint}")


def options(draw: st.DrawFn, tag: str) -> Any:
    """A spec of this tag with random options; after some that do not go together, the defaults."""
    cls = spec_class(tag)
    defaults = {f.name: f.default for f in dataclasses.fields(cls)}
    for _ in range(4):
        try:
            return cls(**{name: field(draw, name, hint, defaults[name]) for name, hint in hints(cls).items()})
        except vs.VentralError:
            pass
    return cls(**{name: 4 for name, default in defaults.items() if default is dataclasses.MISSING})


def layers(draw: st.DrawFn, most: int, output: bool = False) -> tuple[Layer, ...]:
    """Up to so many layers; those that only fit in few places are rare."""
    common = [t for t in of_the_package(tags(Layer)) if t not in ("add_input", "global_pool", "linear")]
    rare = ["global_pool", "linear", "add_input"] if output else ["global_pool", "linear"]
    known = [*(2 * common), *rare, *(["add_input"] * 4 if output else [])]
    return tuple(options(draw, draw(st.sampled_from(known))) for _ in range(draw(st.integers(0, most))))


@st.composite
def any_networks(draw: st.DrawFn) -> vs.NetworkSpec:
    """A random network; VentralError is raised, as a user would see it, where it cannot be made."""
    count = draw(st.integers(1, 3))
    names = [f"a{i}" for i in range(count)]
    areas, connections = [], []
    for i, name in enumerate(names):
        cell = options(draw, draw(st.sampled_from(of_the_package(list_cells())))) if draw(st.booleans()) else None
        window = draw(st.sampled_from((None, None, None, (i, None), (i, i + 2))))
        combine = draw(st.sampled_from(("concat", "concat", "add", "multiply")))
        areas.append(vs.Area(name, layers(draw, 2), cell, layers(draw, 2, output=True), combine, window))
        source = "image" if i == 0 else names[i - 1]
        connections.append(connection(draw, source, name, "feedforward", draw(st.integers(0, 1))))
    for _ in range(draw(st.integers(0, 3))):
        a, b = (draw(st.integers(0, count - 1)) for _ in range(2))
        kind = "lateral" if a == b else "skip" if a < b else "feedback"
        more = connection(draw, names[a], names[b], kind, draw(st.integers(1, 2)))
        if all((c.source, c.target, c.delay) != (more.source, more.target, more.delay) for c in connections):
            connections.append(more)
    head = (GlobalPool(), Linear(2))
    areas.append(vs.Area("out", head))
    connections.append(vs.Connection(names[-1], "out", delay=0))
    return vs.NetworkSpec(
        "random",
        tuple(areas),
        tuple(connections),
        "out",
        input_shape=(2, draw(st.sampled_from((1, 4, 5, 8))), draw(st.sampled_from((1, 4, 5, 8)))),
        steps=count + 3,
        before_start=draw(st.sampled_from(("zeros", "silent"))),
        init=draw(st.sampled_from(("torch", "convrnn", "cornet_s", "xavier", "he", "he_out"))),
        mean=(0.4, 0.5),
        std=(0.3, 0.2),
    )


def connection(draw: st.DrawFn, source: str, target: str, kind: Any, delay: int) -> vs.Connection:
    """A random connection."""
    through = layers(draw, 2) if draw(st.integers(0, 2)) == 0 else ()
    return vs.Connection(
        source,
        target,
        kind,
        delay,
        layers=through,
        residual=draw(st.integers(0, 7)) == 0,
        per_step=draw(st.integers(0, 2)) if through else 0,
        shared="k" if through and draw(st.integers(0, 3)) == 0 else "",
        arrives=draw(st.sampled_from(((0, None), (0, None), (0, 1), (1, None)))),
        resize=draw(st.sampled_from(("bilinear", "bilinear_half", "nearest"))),
    )
