"""What a page is told once of how the centre works: modes, reasons, places to transfer to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import msgspec

from endpoint.agents.model import LeaveReason, WorkMode
from endpoint.errors import EndpointError
from endpoint.gateways.basiccall.buttons import state_settings
from endpoint.gateways.basiccall.frames import dumped
from endpoint.gateways.basiccall.names import REMOTE
from endpoint.gateways.basiccall.parameters import Parameters

_NUMBER = re.compile("[0-9]{1,9}", re.ASCII)
_STANDARD = {"rest": 0, "meeting": 1, "meal": 2, "other": 3}


_NONE_CHOSEN = "0"
"""What the page's button sends, which asks for no reason."""


class UnknownReason(EndpointError):
    """The page asks for a reason that the centre does not have."""


class _Mode(msgspec.Struct, rename="camel"):
    service_work_mode: int
    service_work_mode_name: str
    basic_work_mode: int
    visible: int
    bind_skill_code: str
    sort_order: int


class _Reason(msgspec.Struct, rename="camel"):
    reason_id: int
    reason_name: str
    visible: int


class _Item(msgspec.Struct):
    type: str
    name: str


class _Ivr(msgspec.Struct, rename="camel"):
    svn: str
    name: str
    check_password: bool


class _Skill(msgspec.Struct, rename="camel"):
    skill_code: str
    skill_name: str


@dataclass(frozen=True, slots=True)
class Reasons:
    """Reasons for leaving: numbers for the page, codes for the directory.

    A code that is a number is the page's too. The standard reasons have BasicCall's numbers, and
    all others the next ones, in the order of the list.
    """

    known: Sequence[LeaveReason]

    def number(self, code: str) -> str:
        """Of a reason that an agent has; empty where it has none."""
        return next((str(n) for n, reason in self._numbered() if reason.code == code), "")

    def code(self, number: str) -> str:
        """What the directory calls it. Raises UnknownReason."""
        if not number:
            return ""
        for known, reason in self._numbered():
            if str(known) == number:
                return reason.code
        if number == _NONE_CHOSEN:
            return ""
        numbers = ", ".join(str(known) for known, reason in self._numbered() if reason.visible)
        raise UnknownReason(f"leaveReason: found {number[:20]!r}, expected one of {numbers}")

    def _numbered(self) -> list[tuple[int, LeaveReason]]:
        numbers = {each.code: int(each.code) for each in self.known if _NUMBER.fullmatch(each.code)}
        taken = set(numbers.values())
        wanted = {code: at for code, at in _STANDARD.items() if at not in taken}
        free = (at for at in count(len(_STANDARD)) if at not in taken)
        for each in self.known:
            if each.code not in numbers:
                at = wanted.get(each.code)
                numbers[each.code] = next(free) if at is None else at
        return sorted(((numbers[each.code], each) for each in self.known), key=lambda one: one[0])

    def encode(self) -> str:
        """`leaveReasonSettings`."""
        return dumped(
            [
                _Reason(number, reason.name, int(reason.visible))
                for number, reason in self._numbered()
            ]
        )


def is_remote(ins: str) -> bool:
    """Whether an agent's telephone is in the public network."""
    return ins.startswith(REMOTE)


def settings_notified(
    ins: str,
    parameters: Parameters,
    modes: Iterable[WorkMode],
    reasons: Reasons,
    *,
    supervises: bool,
) -> Mapping[str, str]:
    """`params` of SettingsNotify: each a list as JSON in a string."""
    mask = parameters.mask | (parameters.mask_remote if is_remote(ins) else frozenset())
    ivrs = dumped([_Ivr(each.code, each.name, each.checks_password) for each in parameters.ivrs])
    skills = dumped([_Skill(each.code, each.name) for each in parameters.skills])
    kinds = [
        _Item("IVR", "IVR") if parameters.ivrs else None,
        _Item("Skill", "Skill") if parameters.skills else None,
        _Item("OutLine", "Outside"),
        _Item("Agent", "Agent"),
    ]
    return {
        "stateSettings": state_settings(
            supervises=supervises, mask=mask, offers_transfers=parameters.one_step_transfer
        ),
        "workModeSettings": dumped(
            [
                _Mode(
                    mode.code,
                    mode.name,
                    int(mode.basic),
                    int(mode.visible),
                    mode.skill,
                    mode.position,
                )
                for mode in modes
            ]
        ),
        "leaveReasonSettings": reasons.encode(),
        "transferSubItems": dumped([each for each in kinds if each is not None]),
        "transferIVRInfo": ivrs,
        "transferAgentSkillInfo": skills,
        "ivrButtonSettings": ivrs,
    }
