"""`[[ivr]]` and `[[skill]]`: what they mean, and what is wrong in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.app.config import load
from endpoint.app.facts import dial_limits, dial_plan
from endpoint.app.ivrsettings import ivrs, skills
from endpoint.callcontrol.dials import Dials
from endpoint.errors import ConfigurationError
from endpoint.legs.base import DeviceId

pytestmark = pytest.mark.unit

FLOW = 'start = "a"\n[node.a]\nkind = "hangup"\n'


def mistakes(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "agent-endpoint.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(file, files=True)
    return [each.replace(str(file), "FILE") for each in caught.value.mistakes]


def test_an_ivr_is_a_device_of_ours_that_may_dial_as_it_likes(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(FLOW)
    file = tmp_path / "agent-endpoint.toml"
    file.write_text(
        'ivr = [{ code = "999", flow = "survey" }, { code = "1", flow = "own.toml" }]\n'
        'skill = [{ code = "1001", devices = ["6001"], ring_s = 5 }]\n'
        "[calls]\nat_once = 1\ndials_per_minute = 1\n"
    )
    config = load(file, files=True).config
    first, second = ivrs(config.ivr)
    assert (first.code, first.flow, second.flow) == ("999", "survey", str(tmp_path / "own.toml"))
    (skill,) = skills(config.skill)
    assert (skill.code, skill.devices, skill.ring_s) == ("1001", ("6001",), 5)
    assert dial_plan(config, []).devices["999"] == "ivr"
    dials = Dials(dial_limits(config)[0], dial_limits(config))
    assert dials.refusal(DeviceId("999"), 100, 0.0) is None


def test_every_mistake_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('start = "b"\n[node.a]\nkind = "hangup"\n')
    text = """
station = [{ device = "6001", kind = "tone" }]
ivr = [
    { code = "999", flow = "survay" },
    { code = "999", flow = "bad.toml" },
    { code = "6001", flow = "survey", directory = "gone" },
]
skill = [{ code = "1001", devices = [] }, { code = "a b", devices = ["6 1"] }]
"""
    shipped = "distributors, password, survey, welcome"
    files = f"a file that ends with .toml, or one of {shipped}"
    device = "1 to 64 letters, digits or any of _ . + * # -"
    other = "which is an [[agent]], [[account]] or [[station]] too, expected a number of its own"
    assert mistakes(tmp_path, text) == [
        f"ivr.0.flow (FILE): found 'survay', expected {files}",
        "ivr.1.flow (FILE): bad.toml:1: start: found 'b', expected the name of a node",
        f"ivr.2.directory (FILE): found '{tmp_path}/gone', expected a directory that is there",
        "skill.0.devices (FILE): found a list, expected at least 1 entries",
        "skill.1.code (FILE): found 'a b', expected 1 to 64 letters, digits or any of _ . -",
        f"skill.1.devices.0 (FILE): found '6 1', expected {device}",
        "ivr (FILE): found 999 twice, expected each code once",
        f"ivr.2.code (FILE): found '6001', {other}",
    ]
