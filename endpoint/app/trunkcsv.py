"""Trunks as lines of CSV, and from there into the configuration, where they live."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from endpoint.app.csvtable import CsvRefused, read, written
from endpoint.app.trunksettings import TrunkSettings

_LISTS = ("networks", "numbers", "codecs")
"""Of words, with `;` between them."""
_JSON = ("peers", "outgoing", "incoming", "device_numbers")
"""As JSON; of peers that say no more also as words."""
COLUMNS = tuple(TrunkSettings.model_fields)


def exported(trunks: Iterable[TrunkSettings]) -> bytes:
    """As a file; a cell is empty where nothing but the default is said."""
    return written(COLUMNS, [_cells(each) for each in trunks])


def _cells(trunk: TrunkSettings) -> dict[str, str]:
    said = trunk.model_dump(mode="json", exclude_defaults=True)
    return {name: _cell(name, said[name]) if name in said else "" for name in COLUMNS}


def _cell(name: str, value: Any) -> str:
    if name == "peers" and all(peer.keys() == {"uri"} for peer in value):
        return " ".join(peer["uri"] for peer in value)
    if name in _JSON or (name in _LISTS and not value):
        return json.dumps(value, ensure_ascii=False)
    if name in _LISTS:
        return "; ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def brought(octets: bytes) -> list[TrunkSettings]:
    """The trunks of a file. Raises CsvRefused."""
    mistakes: list[str] = []
    trunks: list[TrunkSettings] = []
    names: set[str] = set()
    for line in read(octets, COLUMNS, ("name",)):
        where = f"line {line.number}"
        given: dict[str, Any] = {}
        for name, cell in line.cells.items():
            try:
                if cell.strip():
                    given[name] = _value(name, cell.strip())
            except ValueError as error:
                mistakes.append(f"{where}, column {name}: {error}")
        try:
            trunk = TrunkSettings.model_validate(given)
        except ValidationError as error:
            for each in error.errors():
                column = f", column {each['loc'][0]}" if each["loc"] else ""
                text = each["msg"].removeprefix("Value error, ")
                mistakes.append(f"{where}{column}: {text}")
            continue
        if trunk.name in names:
            mistakes.append(f"{where}, column name: found {trunk.name} twice, expected it once")
        names.add(trunk.name)
        trunks.append(trunk)
    if mistakes:
        raise CsvRefused(mistakes)
    return trunks


def _value(name: str, cell: str) -> Any:
    """Raises ValueError with what was expected."""
    if name in _JSON or cell.startswith("["):
        if name == "peers" and not cell.startswith("["):
            return cell.split()
        try:
            return json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{error}; expected JSON, as export prints it") from None
    if name in _LISTS:
        return [each.strip() for each in cell.split(";") if each.strip()]
    kind = TrunkSettings.model_fields[name].annotation
    if kind is bool:
        if cell.lower() not in ("yes", "no"):
            raise ValueError(f"found {cell[:60]!r}, expected yes or no")
        return cell.lower() == "yes"
    if isinstance(TrunkSettings.model_fields[name].default, int | float) or name == "most_calls":
        try:
            return int(cell) if cell.lstrip("-").isdecimal() else float(cell)
        except ValueError:
            raise ValueError(f"found {cell[:60]!r}, expected a number") from None
    return cell


def as_toml(trunks: Sequence[TrunkSettings]) -> str:
    """For the configuration's file."""
    blocks = []
    for trunk in trunks:
        said = trunk.model_dump(mode="json", exclude_defaults=True)
        blocks.append(
            "\n".join(["[[trunk]]", *(f"{name} = {_toml(value)}" for name, value in said.items())])
        )
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list):
        return f"[{', '.join(_toml(each) for each in value)}]"
    # Text, numbers, true and false: TOML writes these as JSON does, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
