"""What a page is told once of how the centre works: modes, reasons, places to transfer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from endpoint.agents.model import LeaveReason, WorkMode
from endpoint.errors import EndpointError
from endpoint.gateways.basiccall.buttons import state_settings
from endpoint.gateways.basiccall.frames import dumped
from endpoint.gateways.basiccall.names import REMOTE
from endpoint.gateways.basiccall.parameters import Parameters


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

    Where all codes are numbers they are the page's; else it has each one's place in the list.
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
        numbers = ", ".join(str(known) for known, reason in self._numbered() if reason.visible)
        raise UnknownReason(f"leaveReason: found {number[:20]!r}, expected one of {numbers}")

    def _numbered(self) -> list[tuple[int, LeaveReason]]:
        if all(each.code.isascii() and each.code.isdigit() for each in self.known):
            return [(int(each.code), each) for each in self.known]
        return list(enumerate(self.known))

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
