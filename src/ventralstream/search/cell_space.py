"""The space of Nayebi et al. 2018: one local cell, which areas have it and send feedback to which (docs/papers.md A.5).

What is chosen of the local graph are the options of the published cell (`ventralstream.cells.Reciprocal`): which of its
optional edges are there, tanh or sigmoid, full or depth-separable convolutions and their kernels. The published ranges
are unknown; those of our spaces are our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from ventralstream.cells import Reciprocal
from ventralstream.errors import VentralError, unknown
from ventralstream.jsonable import Spec, hints, spec_class, tagged, tags
from ventralstream.layers.specs import Conv, Norm
from ventralstream.readout import Readout
from ventralstream.search.parameters import Number, OneOf, Parameter, Value, Values, Whole, fitted
from ventralstream.search.space import RECIPE, Candidate, check_training, split_training
from ventralstream.spec import Area, Connection, NetworkSpec
from ventralstream.timing import first_steps

CELL, AREA, FEEDBACK = "cell.", "area.", "feedback."  # what begins the names of parameters
P_EDGE = FEEDBACK + "p_edge"
_TIED = {"tau_multiplier": "tau_offset", "gate_multiplier": "gate_offset"}  # minus the other, as in the published cells
Norms = Literal["none", "shared", "time_specific"]


@tagged("searched")
@dataclass(frozen=True)
class Searched(Spec):
    """One thing that is chosen.

    Attributes:
        name: An option of the cell, or the path of a recipe's field.
        among: What may be chosen.
    """

    name: str = "tau_kernel"
    among: Parameter = Whole()  # noqa: RUF009 - frozen


@tagged("known_cell")
@dataclass(frozen=True)
class KnownCell(Spec):
    """A cell that is tried first.

    Attributes:
        name: What it is called.
        cell: The cell, in all areas that may have one.
        feedback: Long-range connections, each "SOURCE_TARGET".
    """

    name: str = "rgc"
    cell: Reciprocal = Reciprocal()  # noqa: RUF009
    feedback: tuple[str, ...] = ()


@tagged("cell_space")
@dataclass(frozen=True)
class CellSpace(Spec):
    """Networks with one kind of cell, found by search, and long-range feedback between the areas that have it.

    Attributes:
        name: Its name.
        network: The network that they have in common, without cells and feedback.
        areas: Its areas that may have the cell, from the first one on.
        cell: The cell's options that are chosen. Offset and multiplier of a factor are one number (a - a s).
        start: The cell's other options, and what an option is that does not matter.
        choose_areas: Whether each area has the cell or not; else all have it.
        feedback: "threshold" gives each connection from a later to an earlier area a number p, and there is one if
            p is at most p_edge (the published rule); "independent" chooses each; "none" has none.
        norms: How the convolutions before the cell may be normalised by batch statistics: "none", "shared" over the
            steps, "time_specific". Normalised areas begin when something reaches them.
        steps: The steps that may be chosen; None leaves the network's.
        readouts: The readouts that may be chosen, by name, with their defaults; none leaves the network's.
        training: Fields of the recipe that are chosen, by their paths ("optimizer.lr").
        cells: Cells that are tried first.
    """

    name: str
    network: NetworkSpec
    areas: tuple[str, ...]
    cell: tuple[Searched, ...]
    start: Reciprocal = Reciprocal()  # noqa: RUF009
    choose_areas: bool = False
    feedback: Literal["none", "threshold", "independent"] = "threshold"
    norms: tuple[Norms, ...] = ("none",)
    steps: Whole | None = None
    readouts: tuple[str, ...] = ()
    training: tuple[Searched, ...] = ()
    cells: tuple[KnownCell, ...] = ()

    def check(self) -> None:
        if not self.areas or not self.norms:
            raise VentralError(f"the space '{self.name}' has no areas or no norms; expected at least one of each")
        for name in self.areas:
            if self.network.area(name).cell is not None:
                raise VentralError(f"area '{name}' of the space '{self.name}' has a cell already")
        options = [name for name in hints(Reciprocal) if name not in ("channels", *_TIED)]
        for searched in self.cell:
            if searched.name not in options:
                raise unknown("option of the cell", searched.name, options, f" in the space '{self.name}'")
        for name in self.readouts:
            if name not in tags(Readout):
                raise unknown("readout", name, tags(Readout), f" in the space '{self.name}'")
        if len(self.edges) < len(self._pairs):
            raise VentralError(f"two connections of the space '{self.name}' have one name; call its areas otherwise")
        for edge in (edge for known in self.cells for edge in known.feedback):
            if edge not in self.edges:
                raise unknown("connection", edge, self.edges, f" in the space '{self.name}'")
        check_training(self.parameters)
        least = first_steps(self.network)[self.network.readout_area] + 1
        if self.steps is not None and self.steps.low < least:
            raise VentralError(
                f"the space '{self.name}' has networks of {self.steps.low} steps; the image reaches their logits after"
                f" {least}"
            )

    @property
    def source(self) -> str:
        """It is data: there is no other text."""
        return ""

    @property
    def edges(self) -> tuple[str, ...]:
        """The long-range connections that may be there, each "SOURCE_TARGET", from late areas to early ones."""
        return tuple(self._ends)

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        later = [] if self.feedback == "none" else list(enumerate(self.areas, 1))
        return [(source, target) for i, target in later for source in self.areas[i:]]

    @cached_property
    def _ends(self) -> dict[str, tuple[str, str]]:
        """The source and the target of each connection."""
        return {f"{source}_{target}": (source, target) for source, target in self._pairs}

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """What is chosen, by name."""
        return self._parameters

    @cached_property
    def _parameters(self) -> dict[str, Parameter]:
        made: dict[str, Parameter] = {CELL + searched.name: searched.among for searched in self.cell}
        if self.choose_areas:
            made |= {AREA + name: OneOf() for name in self.areas}
        if self.feedback == "threshold":
            made[P_EDGE] = Number()
        made |= {FEEDBACK + edge: Number() if self.feedback == "threshold" else OneOf() for edge in self.edges}
        if len(self.norms) > 1:
            made["norm"] = OneOf(self.norms)
        if self.steps is not None:
            made["steps"] = self.steps
        if self.readouts:
            made["readout"] = OneOf(self.readouts)
        return made | {RECIPE + searched.name: searched.among for searched in self.training}

    @property
    def known(self) -> Mapping[str, Values]:
        """The cells that are tried first, as values."""
        return {known.name: self.values(self.with_cell(known)) for known in self.cells}

    def with_cell(self, known: KnownCell) -> NetworkSpec:
        """The network with a cell in all areas."""
        return self._assembled(
            _meaningful(known.cell, bool(known.feedback), self.start),
            self.areas,
            known.feedback,
            self.norms[0],
            self.network.steps if self.steps is None else int(self.steps.nearest(self.network.steps)),
            self.readouts[0] if self.readouts else None,
        )

    def candidate(self, values: Mapping[str, object]) -> Candidate:
        """The candidate for values of all parameters. What does not matter in it does not show in its spec."""
        chosen, training = split_training(fitted(values, self.parameters, f" of the space '{self.name}'"))
        areas = tuple(name for name in self.areas if chosen.get(AREA + name, True))
        threshold = chosen.get(P_EDGE)
        edges = []
        for edge in self.edges:
            source, target = self._ends[edge]
            value = chosen[FEEDBACK + edge]
            there = value <= threshold if threshold is not None else value  # type: ignore[operator]
            if there and source in areas and target in areas:
                edges.append(edge)
        options: dict[str, Any] = {
            name.removeprefix(CELL): value for name, value in chosen.items() if name.startswith(CELL)
        }
        options |= {tied: -options[to] for tied, to in _TIED.items() if to in options}
        cell = _meaningful(self.start.replace(**options), bool(edges), self.start)
        norm: Any = chosen.get("norm", self.norms[0])
        steps, readout = chosen.get("steps", self.network.steps), chosen.get("readout")
        spec = self._assembled(cell, areas, edges, norm, int(steps), None if readout is None else str(readout))
        return Candidate(spec, training)

    def values(self, spec: NetworkSpec, training: Values | None = None) -> dict[str, Value]:
        """The values of which `candidate` makes this network; of what does not matter, the start's.

        Args:
            spec: The network; its name does not matter.
            training: What was chosen of the recipe; the middle of each range if None.

        Raises:
            VentralError: if no values make it.
        """
        found: dict[str, Value] = {}
        areas = tuple(name for name in self.areas if any(a.name == name and a.cell is not None for a in spec.areas))
        cell: Any = next((spec.area(name).cell for name in areas), self.start)
        sent = [f"{c.source}_{c.target}" for c in spec.connections if c.kind == "feedback"]
        for name, parameter in self.parameters.items():
            if name.startswith(CELL):
                found[name] = parameter.nearest(getattr(cell, name.removeprefix(CELL), False))
            elif name.startswith(AREA):
                found[name] = name.removeprefix(AREA) in areas
            elif name == P_EDGE:
                found[name] = 0.5
            elif name.startswith(FEEDBACK):
                there = name.removeprefix(FEEDBACK) in sent
                found[name] = (0.25 if there else 0.75) if self.feedback == "threshold" else there
            elif name == "norm":
                found[name] = self._norm_of(spec)
            elif name == "steps":
                found[name] = parameter.nearest(spec.steps)
            elif name == "readout":
                found[name] = parameter.nearest(spec.readout.tag)
            else:
                given = (training or {}).get(name.removeprefix(RECIPE))
                found[name] = _middle(parameter) if given is None else parameter.nearest(given)
        made = self.candidate(found).spec
        if made.replace(name="") != spec.replace(name=""):
            raise VentralError(f"'{spec.name}' is no network of the space '{self.name}': {_difference(made, spec)}")
        return found

    def _norm_of(self, spec: NetworkSpec) -> Value:
        norms = [layer for name in self.areas for layer in spec.area(name).drive if isinstance(layer, Norm)]
        kind = "none" if not norms else "time_specific" if norms[0].per_step else "shared"
        return kind if kind in self.norms else self.norms[0]

    def _assembled(
        self,
        cell: Reciprocal,
        areas: tuple[str, ...],
        edges: Any,
        norm: Norms,
        steps: int,
        readout: str | None,
    ) -> NetworkSpec:
        base = self.network
        first = first_steps(base)
        per_step = max(1, steps - first[base.readout_area]) if norm == "time_specific" else 0
        made = []
        for area in base.areas:
            changes: dict[str, Any] = {"cell": cell} if area.name in areas else {}
            if norm != "none" and area.name in self.areas:
                changes["drive"] = _normalised(area, per_step)
            if norm != "none" and first[area.name] >= first[self.areas[0]] and area.window is None:
                changes["window"] = (first[area.name], None)
            made.append(area.replace(**changes))
        back = tuple(Connection(*self._ends[edge], "feedback") for edge in edges)
        return base.replace(
            name=self.name,
            areas=tuple(made),
            connections=(*base.connections, *back),
            steps=steps,
            readout=base.readout if readout is None else spec_class(readout)(),
        )


def _meaningful(cell: Reciprocal, feedback: bool, start: Reciprocal) -> Reciprocal:
    """The cell with the start's value for each option that changes nothing in it."""
    idle: list[str] = []
    inner = cell.input_to_cell or cell.cell_residual
    out = cell.input_to_out or cell.cell_to_out
    idle += [] if inner else ["input_kernel"]
    idle += [] if out else ["to_out_kernel"]
    idle += [] if inner or out else ["input_separable", "input_bias"]
    if not feedback:
        idle += ["feedback_to", "feedback_kernel", "feedback_separable", "feedback_activation"]
    return cell.replace(**{name: getattr(start, name) for name in idle})


def _normalised(area: Area, per_step: int) -> Any:
    last = max((i for i, layer in enumerate(area.drive) if isinstance(layer, Conv)), default=-1)
    return (*area.drive[: last + 1], Norm("batch", per_step=per_step), *area.drive[last + 1 :])


def _middle(parameter: Parameter) -> Value:
    if isinstance(parameter, OneOf):
        return parameter.choices[0]
    assert isinstance(parameter, (Whole, Number))
    middle = (parameter.low * parameter.high) ** 0.5 if parameter.log else (parameter.low + parameter.high) / 2
    return parameter.nearest(round(middle) if isinstance(parameter, Whole) else middle)


def _difference(made: NetworkSpec, spec: NetworkSpec) -> str:
    """Where two networks differ, in a few words."""
    for ours, theirs in zip(made.areas, spec.areas, strict=False):
        if ours != theirs:
            for name in hints(Area):
                one, other = getattr(ours, name), getattr(theirs, name)
                if one != other and isinstance(one, Reciprocal) and isinstance(other, Reciprocal):
                    option = next(o for o in hints(Reciprocal) if getattr(one, o) != getattr(other, o))
                    return (
                        f"'{option}' of the cell in '{ours.name}' is {getattr(other, option)!r},"
                        f" and the nearest that may be chosen {getattr(one, option)!r}"
                    )
                if one != other:
                    return f"the {name} of area '{ours.name}' is another one"
    names = [name for name in hints(NetworkSpec) if name != "name" and getattr(made, name) != getattr(spec, name)]
    return f"its {' and '.join(names)} cannot be chosen"
