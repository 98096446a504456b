"""A flow is read from its file: every mistake in it is told, at once, with its line."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import msgspec

from endpoint.errors import EndpointError
from endpoint.ivr import flow as f
from endpoint.ivr.checking import Fault, faults_of
from endpoint.ivr.flow import KINDS, NODE_NAME, Flow, Node
from endpoint.ivr.places import Places

Resolve = Callable[[str], Path | None]
"""The file that a name means; None where there is none."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One, for who has written the file."""

    file: str
    line: int
    """0: of the whole file, as of one that is not there."""
    field: str
    """As `node.ask.choices.1`; empty where it is of none."""
    text: str
    """What was found, and what was expected."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.field}: {self.text}" if self.field else f"{where}: {self.text}"


class FlowError(EndpointError):
    """A flow that can't be used; `mistakes` are all of them, in the order of the file."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


def read(text: str, file: str, resolve: Resolve) -> Flow:
    """A flow, from the text of its file.

    Args:
        text: of the file.
        file: its name, for mistakes.
        resolve: where a file is that the flow names, as a WAV file.

    Raises:
        FlowError: with every mistake that could be found.
    """
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers and depths beyond all measure
        line = re.search(r"line (\d+)", str(error))
        raise FlowError(
            [Mistake(file, int(line[1]) if line else 1, "", f"expected TOML: {error}")]
        ) from None
    places = Places(text)
    faults: list[Fault] = []
    partly: set[str] = set()
    made = _flow(tree, faults, partly)
    if made is not None:
        told = {fault[0] for fault in faults}
        more = faults_of(made, resolve, partly)
        faults += [fault for fault in more if fault[0] not in told]
    if faults or made is None:
        raise FlowError(
            sorted(
                {Mistake(file, places.line(path), ".".join(path), say) for path, say in faults},
                key=lambda each: (each.line, each.field, each.text),
            )
        )
    return made


def _flow(tree: Mapping[str, Any], faults: list[Fault], partly: set[str]) -> Flow | None:
    """The flow as far as it can be read, so that what it leads to can be checked too.

    `partly` gets the nodes that lack something.
    """
    fields = _fields(Flow, tree, (), faults, ("node",))
    nodes = tree.get("node")
    if not isinstance(nodes, dict) or not nodes:
        faults.append((("node",), "expected nodes, each as [node.NAME] with a kind"))
        return None
    made: dict[str, Node] = {}
    for name, table in nodes.items():
        path = ("node", name)
        if not NODE_NAME.fullmatch(name):
            text = "expected a name that begins with a letter, of letters, digits, _ and -"
            faults.append((path, text))
        node = _node(table, path, faults, partly)
        if node is None:
            partly.add(name)
        else:
            made[name] = node
    return Flow(**{"start": "", **fields, "node": made})


def _node(
    table: object, path: tuple[str, ...], faults: list[Fault], partly: set[str]
) -> Node | None:
    if not isinstance(table, dict):
        faults.append((path, "expected a table, as [node.NAME]"))
        return None
    kind = KINDS.get(str(table.get("kind")))
    if kind is None:
        expected = f"expected one of {', '.join(KINDS)}"
        found = f"found {table['kind']!r}, " if "kind" in table else ""
        faults.append(((*path, "kind") if "kind" in table else path, f"{found}{expected}"))
        return None
    given = {name: value for name, value in table.items() if name != "kind"}
    fields = _fields(kind, given, path, faults)
    # What is missing leads nowhere; what is there is checked all the same.
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in fields:
            partly.add(path[-1])
            fields[field.name] = {} if field.name in ("choices", "cases", "values") else ""
    return kind(**fields)


def _fields(
    kind: type[msgspec.Struct],
    given: Mapping[str, Any],
    path: tuple[str, ...],
    faults: list[Fault],
    left: Iterable[str] = (),
) -> dict[str, Any]:
    """The fields that can be read, each by itself; those of `left` are somebody else's."""
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    made: dict[str, Any] = {}
    unknown = [name for name in given if name not in known]
    faults += [((*path, name), f"unknown key{_resembling(name, known)}") for name in unknown]
    for name, field in known.items():
        if name in left:
            continue
        if name not in given:
            if field.required:
                faults.append((path or (name,), f"{name}: found nothing, expected a value"))
            continue
        try:
            made[name] = msgspec.convert(given[name], field.type)
        except msgspec.ValidationError as error:
            faults.append(((*path, name), _said(str(error), given[name], field.type)))
    return made


def _said(error: str, found: object, kind: Any) -> str:
    """What msgspec says, in the words of the file's author."""
    text, _, place = error.partition(" - at `$")
    text = text.replace(" - at `key` in `$`", ", which a key of it is not")
    text = text[:1].lower() + text[1:]
    for theirs, ours in (
        ("`str`", "text"),
        ("`int`", "a whole number"),
        ("`float`", "a number"),
        ("`bool`", "true or false"),
        ("`object`", "a table"),
        ("`array`", "a list"),
        (" | ", " or "),
        ("`", ""),
    ):
        text = text.replace(theirs, ours)
    # What is asked of a key by a pattern is said in words there.
    text = text.replace(r"matching regex '^[0-9*#A-D]\\Z'", "that is one key: 0-9, *, #, A-D")
    text = text.replace(r"matching regex '^[0-9*#A-D]?\\Z'", "that is one key: 0-9, *, #, A-D")
    text = text.replace(
        r"matching regex '^[A-Za-z0-9_.:-]{1,64}\\Z'",
        "that is the name of a variable: A-Z, a-z, 0-9 and _.:-",
    )
    shown = repr(found) if isinstance(found, str | int | float) else ""
    is_of_text = bool(shown) and "got" not in text
    return (
        (f"found {shown}, " if is_of_text else "") + text + (f" (at {place[:-1]})" if place else "")
    )


def _resembling(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known := list(known), n=1)
    return f", expected {close[0]}?" if close else f", expected one of {', '.join(known)}"


assert set(get_args(f.Node)) == set(KINDS.values())
