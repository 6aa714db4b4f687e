"""Whether tensors fit a network."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ventralstream.errors import VentralError, printable


def check_fit(
    source: str,
    expected: Mapping[str, Sequence[int]],
    found: Mapping[str, Sequence[int]],
    *,
    optional: Collection[str] = (),
    most: int = 200,
) -> None:
    """Compares the names and shapes of tensors with those that a network has.

    Args:
        source: What the tensors are, for the message.
        expected: Shapes by name.
        found: Shapes by name.
        optional: Names that may be missing.
        most: Of each kind of problem, list no more than so many.

    Raises:
        VentralError: if tensors are missing, left over or misshapen; they are listed.
    """
    problems = {
        "missing": [name for name in expected if name not in found and name not in optional],
        "left over": [name for name in found if name not in expected],
        "misshapen": [
            f"{name} {list(found[name])}, expected {list(shape)}"
            for name, shape in expected.items()
            if name in found and tuple(found[name]) != tuple(shape)
        ],
    }
    told = [f"{len(names)} {kind} ({_some(names, most)})" for kind, names in problems.items() if names]
    if told:
        raise VentralError(f"{source} does not fit the network: {'; '.join(told)}")


def _some(names: list[str], most: int) -> str:
    return printable(", ".join(names[:most])) + (", ..." if len(names) > most else "")
