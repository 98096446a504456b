"""What is wrong in the configuration, in words for who wrote it: key, where, found, expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

_SECRET = ("account", "credential", "ice_servers", "password", "token", "url")
"""Of keys whose value, as it was found, is not repeated: an account written as text is one too."""


def mistake(model: type[BaseModel], fault: ErrorDetails, origins: Mapping[str, str]) -> str:
    """One fault that pydantic found."""
    location = fault["loc"]
    key = ".".join(str(part) for part in location)
    where = place(key, origins)
    match fault["type"]:
        case "extra_forbidden":
            known = _fields_at(model, location[:-1])
            name = str(location[-1])
            if len(location) > 1 and name in model.model_fields:
                return (
                    f"{key}{where}: unknown key here; put {name} above the first [table] "
                    "of the file"
                )
            return f"{key}{where}: unknown key{resembling(name, known)}"
        case "missing":
            return f"{key}{where}: found nothing, expected {_table(location[:-1]) or 'a value'}"
        case "value_error":
            return f"{key}{where}: {fault['ctx']['error']}"
        case "relation":
            return f"{key}{where}: {fault['msg']}"
        case "model_type" | "list_type" if table := _table(location):
            return f"{key}{where}: found {shown(key, fault['input'])}, expected {table}"
        case _:
            return f"{key}{where}: found {shown(key, fault['input'])}, expected {expected(fault)}"


def hangs_on(fault: ErrorDetails, unread: Iterable[str]) -> bool:
    """Whether a fault may be none, once what could not be read can be; `""` is the whole file."""
    key = ".".join(str(part) for part in fault["loc"])
    match fault["type"]:
        case "missing":
            return "" in unread
        case "relation":
            return any(each in ("", key.split(".")[0], "account") for each in unread)
        case "value_error" if isinstance(fault["input"], dict):
            return any(not each or each.startswith(f"{key}.") for each in unread)
        case _:
            return False


_EXPECTED = {
    "bool": "true or false",
    "dict": "a table",
    "finite": "a number",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "model": "a table",
    "path": "a path, in quotes",
    "string": "text, in quotes",
}
"""By the first word of a fault's type: `int_type`, `int_parsing`."""
_BOUNDS = {
    "greater_than": ("more than", "gt", ""),
    "greater_than_equal": ("at least", "ge", ""),
    "less_than": ("less than", "lt", ""),
    "less_than_equal": ("at most", "le", ""),
    "string_too_long": ("at most", "max_length", " characters"),
    "string_too_short": ("at least", "min_length", " characters"),
    "too_long": ("at most", "max_length", " entries"),
    "too_short": ("at least", "min_length", " entries"),
}
"""By a fault's type: words, what holds the bound, what it counts."""


def expected(fault: ErrorDetails) -> str:
    """What would have been right, where pydantic says it in a programmer's words."""
    kind = fault["type"]
    if kind == "literal_error":
        return str(fault["ctx"]["expected"])
    if kind in _BOUNDS:
        words, bound, what = _BOUNDS[kind]
        number = fault["ctx"][bound]
        return f"{words} {int(number) if number == int(number) else number}{what}"
    return _EXPECTED.get(kind.split("_")[0], fault["msg"])


def json_for(model: type[BaseModel], key: str) -> str:
    """What a variable that gives `key` holds."""
    *tables, name = key.split(".")
    kinds: list[object] = []
    try:
        field = _model_at(model, tables).model_fields[name]
        kinds = [field.annotation, *get_args(field.annotation)]
    except (KeyError, StopIteration):
        pass
    return "a JSON list" if any(get_origin(kind) is list for kind in kinds) else "a JSON object"


_TABLES = {
    "account": 'device = "6001", server = "wss://…"',
    "agent": 'device = "6001", server = "wss://…"',
    "ivr": 'code = "999", flow = "survey"',
    "recording": 'name = "sales", devices = ["60*"]',
    "skill": 'code = "1001", devices = ["6001"]',
    "station": 'device = "6001", kind = "tone"',
    "trunk": 'name = "carrier", peers = ["sip:203.0.113.10"]',
    "media.ice_servers": 'url = "stun:…"',
}


def _table(location: tuple[object, ...]) -> str | None:
    """How an entry of a list of tables is written; None where no such list is at `location`."""
    name = ".".join(str(part) for part in location if not isinstance(part, int))
    return f"[[{name}]] and below it {_TABLES[name]}" if name in _TABLES else None


def shown(key: str, value: object) -> str:
    """What was there. A secret, and every table or list, is not repeated."""
    last = [part for part in key.split(".") if not part.isdecimal()][-1]
    if any(word in last for word in _SECRET):
        return "something else"
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case bool():
            return str(value).lower()
        case _:
            return repr(value)


def place(key: str, origins: Mapping[str, str]) -> str:
    """Which file or variable it is in, in brackets; empty where nobody said it."""
    origin = next(
        (o for k, o in origins.items() if f"{k}.".startswith(f"{key}.") or key.startswith(f"{k}.")),
        None,
    )
    return f" ({origin})" if origin else ""


def _fields_at(model: type[BaseModel], location: tuple[object, ...]) -> list[str]:
    """The keys that the table at `location` knows."""
    return list(_model_at(model, location).model_fields)


def _model_at(model: type[BaseModel], location: Iterable[object]) -> type[BaseModel]:
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[str(part)].annotation
        candidates = [annotation, *get_args(annotation)]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return model


def resembling(name: str, known: Mapping[str, object] | list[str]) -> str:
    """`, expected KEY` for the nearest, else the whole list."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", expected {close[0]}?" if close else f", expected one of {', '.join(known)}"
