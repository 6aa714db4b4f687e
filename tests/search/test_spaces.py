"""Every sample of a space is a network that can be built, and lies in the space again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_space import small

import ventralstream as vs
from ventralstream.cells import Reciprocal
from ventralstream.errors import VentralError
from ventralstream.jsonable import from_json
from ventralstream.models.convrnn import median_reciprocal, rgc_intermediate_minimal, simple_reciprocal
from ventralstream.models.convrnn_cifar import rgc_shallow_cifar
from ventralstream.network import Network
from ventralstream.search import CellSpace, Number, OneOf, Whole, list_spaces, load_space, search_space
from ventralstream.search.parameters import Parameter
from ventralstream.search.spaces import space_from_json
from ventralstream.training import Recipe


def drawn(parameter: Parameter) -> st.SearchStrategy:
    if isinstance(parameter, OneOf):
        return st.sampled_from(parameter.choices)
    if isinstance(parameter, Whole):
        return st.integers(parameter.low, parameter.high)
    return st.floats(parameter.low, parameter.high)


def points(space) -> st.SearchStrategy:
    return st.fixed_dictionaries({name: drawn(parameter) for name, parameter in space.parameters.items()})


SPACES = {name: load_space(name) for name in list_spaces()}
INDEPENDENT = SPACES["cifar-small"].replace(feedback="independent")


@pytest.mark.parametrize("space", [*SPACES.values(), INDEPENDENT], ids=[*SPACES, "independent"])
def test_every_sample_is_a_valid_network_and_lies_in_the_space_again(space: CellSpace) -> None:
    @settings(max_examples=25, deadline=None)
    @given(points(space))
    def check(values) -> None:
        candidate = space.candidate(values)
        again = space.candidate(space.values(candidate.spec, candidate.training))
        assert again.spec == candidate.spec and again.training == candidate.training and again.key == candidate.key
        assert candidate.recipe(Recipe(optimizer=vs.Muon())).optimizer.lr > 0

    check()


@settings(max_examples=6, deadline=None)
@given(points(INDEPENDENT))
def test_a_sample_runs(values) -> None:
    spec = INDEPENDENT.candidate(values).spec
    out = Network(spec).eval()(torch.zeros(1, *spec.input_shape))
    assert out.logits.shape[-1] == 10


def test_the_published_cells_are_known_points() -> None:
    space = load_space("cifar")
    made = {name: space.candidate(values).spec for name, values in space.known.items()}
    assert {a.cell for a in made["rgc"].areas} - {None} == {simple_reciprocal()}
    assert made["rgc"].areas == rgc_shallow_cifar().areas and made["rgc"].steps == rgc_shallow_cifar().steps
    assert {a.cell for a in made["median"].areas} - {None} == {median_reciprocal().replace(cell_channels=32)}
    large = load_space("imagenet128")
    whole = rgc_intermediate_minimal().replace(steps=large.network.steps, input_shape=(3, 128, 128))
    found = large.candidate(large.values(whole)).spec
    assert found.areas == whole.areas and set(found.connections) == set(whole.connections)


def test_feedback_by_threshold_is_there_where_p_is_at_most_p_edge() -> None:
    space = load_space("cifar-small")
    values = {**space.known["rgc"], "feedback.p_edge": 0.4, "feedback.conv5_conv3": 0.4, "feedback.conv4_conv3": 0.41}
    values["feedback.conv5_conv4"] = 0.1

    def sent(values) -> set[str]:
        spec = space.candidate(values).spec
        return {str(c) for c in spec.connections if c.kind == "feedback"}

    assert sent(values) == {"conv5 -> conv3", "conv5 -> conv4"}
    assert sent({**values, "area.conv4": False}) == {"conv5 -> conv3"}  # among the areas that have a cell


def test_what_does_not_matter_makes_no_other_network() -> None:
    space = load_space("cifar-small")
    values = dict(space.known["rgc"])  # no feedback, and the cell is not added to the output
    one = space.candidate(values)
    for name, other in (("cell.feedback_kernel", 5), ("cell.to_out_kernel", 7), ("feedback.p_edge", 0.6)):
        assert space.candidate({**values, name: other}).key == one.key, name
    assert space.candidate({**values, "cell.tau_kernel": 5}).key != one.key
    assert space.candidate({**values, "recipe.optimizer.lr": 0.1}).spec_hash == one.spec_hash
    assert space.candidate({**values, "recipe.optimizer.lr": 0.1}).key != one.key


def test_a_network_outside_the_space_is_refused_with_what_differs() -> None:
    space = load_space("cifar")
    far = rgc_shallow_cifar()
    areas = tuple(a.replace(cell=Reciprocal(tau_kernel=9)) if a.cell else a for a in far.areas)
    with pytest.raises(VentralError, match=r"'tau_kernel' of the cell in 'conv3' is 9, and the nearest .* 7"):
        space.values(far.replace(areas=areas))


def test_a_space_is_data(tmp_path: Path) -> None:
    space = load_space("cifar-small")
    assert from_json(json.loads(json.dumps(space.to_json()))) == space
    (tmp_path / "mine.json").write_text(json.dumps(space.replace(name="mine").to_json()))
    assert load_space(tmp_path / "mine.json").name == "mine"


# --- a user's own


def test_a_function_is_a_space() -> None:
    values = dict(small.known["wide"])
    candidate = small.candidate(values)
    assert candidate.training == {"optimizer.lr": 0.05} and candidate.recipe(Recipe()).optimizer.lr == 0.05
    file = Path(small.file)
    assert load_space(file).parameters == small.parameters
    assert load_space(f"{file}:small").name == "small"
    assert space_from_json(json.loads(json.dumps(small.to_json())), small.source).known == small.known


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 3}, "width is 3; expected a whole number from 4 to 16"),
        ({"kernel": 2}, "unknown value of 'kernel' '2'"),
        ({"widht": 4}, "unknown parameter 'widht' of the space 'small'; did you mean 'width'"),
        ({"recipe.optimizer.lr": True}, "expected a finite number from 0.01 to 0.2"),
    ],
)
def test_values_that_do_not_fit_are_refused(change, message) -> None:
    with pytest.raises(VentralError, match=message):
        small.candidate({**small.known["wide"], **change})


def test_feedback_among_areas_with_underscores_in_their_names() -> None:
    space = load_space("cifar-small")
    names = {name: f"V_{i}" for i, name in enumerate(space.areas)}
    text = json.dumps(space.to_json())
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    space = from_json(json.loads(text)).replace(feedback="independent")
    assert len(space.edges) == 3
    values = space.values(space.with_cell(space.cells[0]))
    values |= {f"feedback.{edge}": True for edge in space.edges}
    back = [c for c in space.candidate(values).spec.connections if c.kind == "feedback"]
    assert {(c.source, c.target) for c in back} == {("V_1", "V_0"), ("V_2", "V_0"), ("V_2", "V_1")}
    with pytest.raises(VentralError, match="unknown connection 'V_0_V_1'"):
        space.replace(cells=(space.cells[0].replace(feedback=("V_0_V_1",)),))


def test_a_space_that_cannot_be_is_refused(tmp_path: Path) -> None:
    def takes(width):
        raise AssertionError

    for decorate, message in (
        (lambda: search_space(widht=OneOf((1, 2)))(takes), "did you mean 'width'"),
        (lambda: search_space(width=3), "is 3; expected OneOf, Whole or Number"),
        (lambda: search_space(recipe={"optimiser.lr": Number()}), "unknown field of a recipe 'optimiser'"),
        (lambda: search_space()(takes), "takes 'width', which the space does not choose"),
        (lambda: OneOf((1, 1)), "has the choice 1 twice"),
        (lambda: Whole(3, 1), "goes from 3 to 1"),
        (lambda: Number(0, 1, log=True), "expected a beginning above 0"),
        (lambda: load_space("cifar-smal"), "unknown space 'cifar-smal'.*did you mean 'cifar-small'"),
        (lambda: load_space(tmp_path / "none.py"), "there is no such file"),
    ):
        with pytest.raises(VentralError, match=message):
            decorate()
    own = tmp_path / "own.py"
    for text, message in (
        ("1 / 0", "cannot be run: ZeroDivisionError: division by zero"),
        ("x = 1", "should make one space: it makes none"),
        ("from small_space import small\nother = small", "it makes small, other; say which"),
    ):
        own.write_text(text)
        with pytest.raises(VentralError, match=message):
            load_space(own)
    assert [p.name for p in tmp_path.iterdir()] == ["own.py"]  # no bytecode beside the user's file
    own.write_text(Path(small.file).read_text() + "# changed")
    with pytest.raises(VentralError, match="was changed since the study was made"):
        space_from_json({**small.to_json(), "file": str(own)}, small.source)
