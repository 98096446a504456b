"""`[[ivr]]` and `[[skill]]`: devices that are flows, and where calls wait for agents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from endpoint.app.section import DEVICE, STRICT, Seconds, like
from endpoint.ivr.flow import Language
from endpoint.legs.base import DeviceId

if TYPE_CHECKING:
    from endpoint.agents.crew import SkillDevices
    from endpoint.ivr import host
    from endpoint.ivr.flow import Flow

Device = Annotated[str, like(DEVICE.pattern, "1 to 64 letters, digits or any of _ . + * # -")]
SkillCode = Annotated[str, like(r"[A-Za-z0-9_.-]{1,64}", "1 to 64 letters, digits or any of _ . -")]


class IvrSettings(BaseModel):
    """`[[ivr]]`: a device that is a flow: who calls it, or is transferred there, goes through it.

    Many calls may be in it at once. A file that is changed is read again, and used where it has no
    mistakes; calls that are in it finish in the flow as it was.
    """

    model_config = STRICT

    code: Device
    """The number that is called, as `999`."""
    flow: str
    """A file of yours, that ends with `.toml`; or one that comes with the program.

    That is `welcome`, `survey`, `password` or `distributors`.
    """
    directory: Path | None = None
    """Looked in first for the WAV files and the like that the flow names.

    So a prompt of yours takes the place of a shipped one.
    """
    language: Language = "en"
    """In which it speaks: English, or Mandarin (`zh`), whose sounds stand in a directory `zh`."""


class SkillSettings(BaseModel):
    """`[[skill]]`: devices where calls that wait for it ring, though no agent is logged on."""

    model_config = STRICT

    code: SkillCode
    """By which `queue` names it, as `1001`."""
    devices: Annotated[list[Device], Field(min_length=1)]
    """Who is offered a call: of those that are free the one that was not for longest."""
    name: str = ""
    """For a person."""
    ring_s: Seconds = 20
    """So long it rings at one of them, and then at the next; the caller keeps his place."""
    rest_s: Seconds = 10
    """A device that did not answer is left alone for so long."""


def ivrs(settings: Sequence[IvrSettings]) -> list[host.IvrSettings]:
    """What the IVRs are made from."""
    from endpoint.ivr import host

    return [
        host.IvrSettings(DeviceId(each.code), each.flow, each.directory, each.language)
        for each in settings
    ]


def skills(settings: Sequence[SkillSettings]) -> list[SkillDevices]:
    """What the queues are made from."""
    from endpoint.agents.crew import SkillDevices

    return [
        SkillDevices(
            each.code, tuple(map(DeviceId, each.devices)), each.ring_s, each.rest_s, each.name
        )
        for each in settings
    ]


def checked(flow: str, directory: Path | None, language: Language = "en") -> Flow:
    """The flow of an entry. Raises FlowError, and ValueError for what is no flow's name."""
    from endpoint.ivr.library import Place, file_of, load, shipped

    if flow not in shipped() and not flow.endswith(".toml"):
        expected = f"a file that ends with .toml, or one of {', '.join(shipped())}"
        raise ValueError(f"found {flow!r}, expected {expected}")
    return load(Place(file_of(flow), directory, language))
