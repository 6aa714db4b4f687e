"""A spec's fields as options of a command: what a field is, may be and means is declared where the field is.

The help of an option is the field's line under "Attributes:" in the class's docstring, its type and range are the
annotation's. A field that is itself a spec gives its own fields; where it may be one of several kinds it is an option
too, which takes their names (`--optimizer adamw`), and a field called `kind` goes by the name of what it is the kind of
(`--schedule cosine`). Options that are not given change nothing.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Annotated, Any, Literal, TypeVar

import typer

from ventralstream.errors import VentralError, unknown
from ventralstream.jsonable import Spec, from_json, hints, spec_class, tags
from ventralstream.values import fit

S = TypeVar("S", bound=Spec)
Command = Callable[..., None]


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: Its name, as a parameter.
        path: The names of the fields that lead to it.
        hint: The field's annotation; for a choice of kinds, `Literal` of their names.
        help: What it means.
        default: What the field is by default, in words.
        owners: The names of the specs that have it.
        selects: Whether it says which kind of spec the field is.
    """

    name: str
    path: tuple[str, ...]
    hint: Any
    help: str
    default: str
    owners: tuple[str, ...]
    selects: bool = False


def options_of(cls: type[Spec], path: tuple[str, ...] = ()) -> list[Option]:
    """The options of a spec's fields, in their order."""
    found: list[Option] = []
    about = attributes(cls)
    for field in fields(cls):
        hint, here = hints(cls)[field.name], (*path, field.name)
        default = None if field.default is MISSING else field.default
        kinds = _kinds(hint)
        if not kinds:
            name = path[-1] if field.name == "kind" and path else field.name
            found.append(Option(name, here, hint, about.get(field.name, ""), _words(default), (cls.tag,)))
            continue
        if len(kinds) > 1:
            choice: Any = Literal.__getitem__(tuple(kind.tag for kind in kinds))
            text = default.tag if isinstance(default, Spec) else _words(default)
            found.append(Option(field.name, here, choice, about.get(field.name, ""), text, (cls.tag,), selects=True))
        parts = _merged([options_of(kind, here) for kind in kinds])
        found += parts if default is not None else (replace(part, default="") for part in parts)
    return found


def with_fields(
    **classes: tuple[type[Spec], Callable[[str], str]],
) -> Callable[[Command], Command]:
    """Gives a command the options of specs' fields, before its parameter `config`.

    Args:
        classes: A spec and a function from an option's name to the panel of the help it stands in, by the name of the
            command's parameter that receives what was given, a dict by option.
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True).parameters
        made = {parameter: options_of(cls) for parameter, (cls, _) in classes.items()}
        generated = [
            inspect.Parameter(
                option.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_annotation(option, panel),
            )
            for (_, panel), options in zip(classes.values(), made.values(), strict=True)
            for option in options
        ]
        kept = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.values() if p.name not in classes]
        names = [p.name for p in kept]
        at = names.index("config") if "config" in names else len(kept)
        parameters = [*kept[:at], *generated, *kept[at:]]

        def call(**values: Any) -> None:
            given = {
                parameter: {o.name: values[o.name] for o in options if values[o.name] is not None}
                for parameter, options in made.items()
            }
            command(**{p.name: values[p.name] for p in kept}, **given)

        call.__name__, call.__doc__ = command.__name__, command.__doc__
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in parameters}
        return call

    return decorate


def changed(spec: S, given: Mapping[str, Any]) -> S:
    """A spec with the options that were given; VentralError names what does not fit."""
    data = spec.to_json()
    cls = type(spec)
    # A kind is chosen before its fields are set.
    for option in sorted(options_of(cls), key=lambda o: not o.selects):
        if option.name not in given:
            continue
        value, place = given[option.name], data
        kind: type[Spec] = cls
        for name in option.path[:-1]:
            kinds = _kinds(hints(kind)[name])
            if place[name] is None:
                place[name] = {"type": kinds[0].tag}
            place = place[name]
            kind = spec_class(place["type"])
        last = option.path[-1]
        if option.selects:
            if value not in typing.get_args(option.hint):
                raise unknown(last, value, typing.get_args(option.hint))
            if not (isinstance(place[last], dict) and place[last]["type"] == value):
                place[last] = {"type": value}
            continue
        if last not in hints(kind):
            having = " and ".join(f"'{owner}'" for owner in option.owners)
            raise VentralError(f"--{_dashed(option.name)} is an option of {having}, not of '{kind.tag}'")
        wanted = hints(kind)[last]
        place[last] = parsed = _parsed(value, wanted)
        fit(tuple(parsed) if isinstance(parsed, list) else parsed, wanted, f"--{_dashed(option.name)}")
    made: S = from_json(data)
    return made


def attributes(cls: type) -> dict[str, str]:
    """What a class's docstring says of each attribute, its bases' included; nothing under `python -OO`."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, section = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition("Attributes:\n")
        lines = textwrap.dedent(section.split("\n\n")[0])
        for entry in re.split(r"\n(?=\S)", lines):
            names, colon, text = entry.partition(": ")
            if colon:
                found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found


def _kinds(hint: Any) -> list[type[Spec]]:
    """The kinds of spec that a field takes; none for a plain value."""
    for part in (hint, *typing.get_args(hint)):
        if isinstance(part, type) and issubclass(part, Spec):
            return [part] if part.tag else [spec_class(tag) for tag in tags(part)]
    return []


def _merged(kinds: list[list[Option]]) -> Iterator[Option]:
    """The options of all kinds, each once: what several have is one option, with all their defaults."""
    options = [option for kind in kinds for option in kind]
    for name in dict.fromkeys(option.name for option in options):
        same = [option for option in options if option.name == name]
        owners = tuple(owner for option in same for owner in option.owners)
        defaults = {option.owners[0]: option.default for option in same}
        one = len(set(defaults.values())) == 1
        text = same[0].default if one else ", ".join(f"{owner} {value}" for owner, value in defaults.items())
        first = same[0]
        only = f" Only of {' and '.join(owners)}." if len(owners) < len(kinds) else ""
        yield Option(name, first.path, first.hint, first.help + only, text, owners, first.selects)


def _annotation(option: Option, panel: Callable[[str], str]) -> Any:
    plain = _plain(option.hint)
    names = (f"--{_dashed(option.name)}",)
    if plain is bool:
        names = (f"--{_dashed(option.name)}/--no-{_dashed(option.name)}",)
    help_ = option.help.replace("`", "")
    if typing.get_origin(plain) is Literal:
        choices = [str(choice) for choice in typing.get_args(plain)]
        if not all(f'"{choice}"' in help_ for choice in choices):
            help_ += f" One of: {', '.join(choices)}."
    declared = typer.Option(
        *names, help=help_, show_default=option.default or False, rich_help_panel=panel(option.name)
    )
    return Annotated[(plain if plain in (int, float, bool) else str) | None, declared]


def _plain(hint: Any) -> Any:
    """The type of a value without its range, and without None."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _plain(args[0])
    if origin in (typing.Union, types.UnionType):
        return _plain(next(arg for arg in args if arg is not type(None)))
    return hint


def _parsed(value: Any, hint: Any) -> Any:
    """A value from the command line; a row of numbers is written with commas."""
    if typing.get_origin(_plain(hint)) is tuple and isinstance(value, str):
        try:
            return [float(part) for part in value.split(",")]
        except ValueError:
            raise VentralError(f"'{value}' is no row of numbers; expected such as '0.5,1'") from None
    return value


def _words(default: Any) -> str:
    if default is None or default == "":
        return ""
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return str(default)


def _dashed(name: str) -> str:
    return name.replace("_", "-")
