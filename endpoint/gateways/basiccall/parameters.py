"""SystemParam: the table of switches that a centre has, by the same keys and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from endpoint.errors import EndpointError

_NOT_FOR_REMOTE = "4,5,6,7,8,42,25,26,27"


class Key(StrEnum):
    """What can be set."""

    ONE_STEP_TRANSFER = "ONESTEPTRANSFERSUPPORT"
    TRANSFER_SKILLS = "AGENTTRANSFERSKILLINFO"
    TRANSFER_IVRS = "AGENTTRANSFERIVRINFO"
    LEAVE_MODE_SYNC = "SOFTPHONELEAVEWORKMODESTATESYNC"
    MASK = "SOFTPHONEMASKENABLED"
    MASK_REMOTE = "SOFTPHONEMASKENABLED_RPN"


class BadParameters(EndpointError):
    """Not what can be set; `mistakes` has all of them."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class TransferSkill:
    """A queue that calls may be sent to."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class TransferIvr:
    """An IVR that calls may be sent to."""

    code: str
    name: str
    checks_password: bool = False
    """The customer comes back from it."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What they say."""

    one_step_transfer: bool = True
    """In a call the page offers the menu of transfers."""
    skills: tuple[TransferSkill, ...] = ()
    ivrs: tuple[TransferIvr, ...] = ()
    leave_mode_sync: bool = False
    """Who chooses the work mode of being away leaves, and is back by choosing another."""
    mask: frozenset[int] = frozenset()
    """Buttons that are not shown."""
    mask_remote: frozenset[int] = frozenset(map(int, _NOT_FOR_REMOTE.split(",")))
    """The same for agents whose telephone is in the public network."""


def parsed(table: Mapping[str, str]) -> Parameters:
    """The table. Raises BadParameters with every mistake."""
    given = Parameters()
    known = set(Key)
    mistakes = [
        f"{key}: no such parameter; expected one of {', '.join(sorted(known))}"
        for key in table
        if key not in known
    ]
    one_step, sync = given.one_step_transfer, given.leave_mode_sync
    skills, ivrs = given.skills, given.ivrs
    masks = {Key.MASK: given.mask, Key.MASK_REMOTE: given.mask_remote}
    for key, value in table.items():
        try:
            match key:
                case Key.ONE_STEP_TRANSFER:
                    one_step = _switch(value)
                case Key.LEAVE_MODE_SYNC:
                    sync = _switch(value)
                case Key.TRANSFER_SKILLS:
                    skills = tuple(TransferSkill(*row) for row in _rows(value, 2))
                case Key.TRANSFER_IVRS:
                    rows = _rows(value, 3)
                    ivrs = tuple(TransferIvr(row[0], row[1], row[2:] == ["1"]) for row in rows)
                case Key.MASK | Key.MASK_REMOTE:
                    masks[Key(key)] = _ids(value)
                case _:
                    pass  # told already
        except ValueError as error:
            mistakes.append(f"{key}: {error}")
    if mistakes:
        raise BadParameters(mistakes)
    return Parameters(one_step, skills, ivrs, sync, masks[Key.MASK], masks[Key.MASK_REMOTE])


def _switch(value: str) -> bool:
    if value not in ("0", "1"):
        raise ValueError(f"found {value!r}, expected 0 or 1")
    return value == "1"


def _ids(value: str) -> frozenset[int]:
    words = [word.strip() for word in value.split(",")] if value.strip() else []
    for word in words:
        if not (word.isascii() and word.isdigit() and len(word) < 4):
            raise ValueError(f"found {word[:20]!r}, expected numbers of buttons as 33,34")
    return frozenset(map(int, words))


def _rows(value: str, most: int) -> Iterator[list[str]]:
    """`1002,orders|1003,repairs`."""
    for row in value.split("|") if value.strip() else []:
        cells = [cell.strip() for cell in row.split(",")]
        if not 2 <= len(cells) <= most or not all(cells):
            raise ValueError(f"found {row[:40]!r}, expected a code and a name as 1002,orders")
        if len(cells) == 3 and cells[2] not in ("0", "1"):
            raise ValueError(f"found {cells[2][:20]!r} in {row[:40]!r}, expected 0 or 1")
        yield cells
