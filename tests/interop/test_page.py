"""The endpoint's own page in Chromium as 6001's telephone: tones in it and at the customer."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from endpoint.app.recordings import named
from endpoint.callcontrol.commands import AnswerCall, MakeCall
from endpoint.callcontrol.events import (
    CallInformation,
    Delivered,
    DigitsGenerated,
    Established,
    Held,
    IvrVisited,
    RecordingPaused,
    RecordingResumed,
    RecordingStarted,
    RecordingStopped,
    Retrieved,
)
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, DeviceUnregistered

from .desk import Desk
from .peers.baresip import Baresip
from .peers.endpoint_page import EndpointPage
from .peers.hearing import hear
from .peers.sound import MUSIC_HZ

pytestmark = pytest.mark.interop

AGENT, CUSTOMER, COLLEAGUE = DeviceId("6001"), DeviceId("10086"), DeviceId("6003")
IVR = DeviceId("999")
AGENT_HZ, CUSTOMER_HZ, COLLEAGUE_HZ = 1130, 1010, 1400


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Desk(
        tmp_path / "state",
        extensions=[AGENT, CUSTOMER],
        stations={COLLEAGUE: COLLEAGUE_HZ},
        webrtc=True,
        settings={
            "supervision": [{"supervisor": AGENT, "devices": ["600*"]}],
            "pickup_group": [{"devices": [AGENT, CUSTOMER]}],
            "ivr": [{"code": IVR, "flow": "survey"}],
        },
    ) as endpoint:
        yield endpoint


def opened(desk: Desk, directory: Path, tone_hz: int | None = AGENT_HZ) -> EndpointPage:
    return EndpointPage(directory, desk.endpoint.url, desk.endpoint.token, tone_hz=tone_hz)


@pytest.fixture
async def page(desk: Desk, tmp_path: Path) -> AsyncIterator[EndpointPage]:
    """The page, that is 6001's telephone."""
    async with opened(desk, tmp_path / "page") as shown:
        await shown.use(AGENT)
        await shown.state("ready")
        await desk.event(DeviceRegistered, device=AGENT, server="browser")
        yield shown


@pytest.fixture
async def customer(desk: Desk, page: EndpointPage) -> AsyncIterator[Baresip]:
    async with desk.telephone(CUSTOMER, CUSTOMER_HZ) as phone:
        yield phone


async def test_the_page_is_called_holds_retrieves_presses_keys_and_is_hung_up_on(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    assert await page.heard() == set()
    await customer.dial(AGENT)
    await page.state("ringing")
    assert await page.text("#phone-title") == "10086 calls 6001"
    assert (await page.text("#counts")).split()[0] == "call1"
    await page.press("Answer")
    await page.state("talking")
    await desk.event(Established, device=AGENT)
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await page.press("Hold")
    await desk.event(Held, device=AGENT)
    await hear({page: set(), customer: MUSIC_HZ})
    await page.press("Retrieve")
    await desk.event(Retrieved, device=AGENT)
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await page.press("Mute")
    await hear({page: {CUSTOMER_HZ}, customer: set()})
    assert await page.text("#phone-text") == "connected · muted"
    await page.press("Unmute")
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await page.type_digits(AGENT, "159#")
    await desk.event(DigitsGenerated)
    assert await customer.digits(4) == "159#"

    await customer.hang_up()
    await page.state("ready")
    assert await page.heard() == set()


@pytest.fixture
async def talking(desk: Desk, page: EndpointPage, customer: Baresip) -> None:
    """The customer has called, and the page has answered."""
    await customer.dial(AGENT)
    await page.press("Answer")
    await desk.event(Established, device=AGENT)


@pytest.fixture
async def consulting(desk: Desk, page: EndpointPage, talking: None) -> None:
    """… and asks the colleague meanwhile."""
    await page.type_number(AGENT, COLLEAGUE, "Consult")
    await desk.event(Established, device=COLLEAGUE)
    # Before it is drawn, there is another Transfer to press: that of the one call.
    await page.shows(".other", "10086on hold")


async def test_the_page_consults_swaps_goes_back_and_brings_all_together(
    desk: Desk, page: EndpointPage, customer: Baresip, consulting: None
) -> None:
    colleague = desk.ear(COLLEAGUE)
    await hear({page: {COLLEAGUE_HZ}, customer: MUSIC_HZ})
    assert await page.text("#phone-title") == "6001 and 6003"
    await page.shows(".other", "10086on hold")
    await page.shows(".hears", "hears music")
    await page.press("Swap")
    await desk.event(Retrieved, device=AGENT)
    await page.shows(".other", "6003on hold")
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    await page.press("Back")
    await page.until("document.querySelector('.other') === null")
    await hear({page: {COLLEAGUE_HZ}, colleague: {AGENT_HZ}})
    await customer.closed()


async def test_the_page_brings_both_calls_together_and_shows_who_hears_whom(
    desk: Desk, page: EndpointPage, customer: Baresip, consulting: None
) -> None:
    await page.press("Conference")
    await page.shows("#phone-title", "6001 and 10086, 6003")
    await hear(
        {
            page: {CUSTOMER_HZ, COLLEAGUE_HZ},
            customer: {AGENT_HZ, COLLEAGUE_HZ},
            desk.ear(COLLEAGUE): {AGENT_HZ, CUSTOMER_HZ},
        }
    )
    await page.shows(".hears", "hears 10086, 6003")
    await page.press("Mute", within="#calls")  # the customer's, who is a device of ours
    await page.shows(".chip", "muted")
    await page.until("!document.getElementById('calls').innerText.includes('hears 10086')")
    await hear({page: {COLLEAGUE_HZ}, desk.ear(COLLEAGUE): {AGENT_HZ}})
    await page.press("End for all")
    await customer.closed()
    await page.state("ready")


async def test_the_page_transfers_to_whom_it_has_asked(
    desk: Desk, page: EndpointPage, customer: Baresip, consulting: None
) -> None:
    await page.press("Transfer")
    await page.state("ready")
    await hear({customer: {COLLEAGUE_HZ}, desk.ear(COLLEAGUE): {CUSTOMER_HZ}})


async def test_the_page_transfers_to_a_number(
    desk: Desk, page: EndpointPage, customer: Baresip, talking: None
) -> None:
    """Of an IVR: the customer rates the call there. Of a colleague: they talk."""
    await page.type_number(AGENT, IVR, "Transfer")
    await page.state("ready")
    await desk.event(IvrVisited, device=IVR, node="rate")
    await customer.send_digits("5")
    await desk.event(CallInformation, data={"SurveyScore": "5"})
    await customer.closed()
    await page.dial(AGENT, CUSTOMER)
    await customer.ringing()
    await customer.accept()
    await desk.event(Established, device=CUSTOMER)
    await page.type_number(AGENT, COLLEAGUE, "Transfer")
    await page.state("ready")
    await hear({customer: {COLLEAGUE_HZ}, desk.ear(COLLEAGUE): {CUSTOMER_HZ}})


async def test_what_is_left_of_two_calls_has_the_buttons_of_one(
    desk: Desk, page: EndpointPage, customer: Baresip, consulting: None
) -> None:
    await customer.hang_up()
    await page.until("document.querySelector('.other') === null")
    await page.type_number(AGENT, CUSTOMER, "Consult")
    await customer.ringing()


async def test_the_page_listens_whispers_barges_in_takes_over_parks_and_picks_up(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    """6001 supervises 6003, who talks with the customer."""
    colleague, both = desk.ear(COLLEAGUE), {CUSTOMER_HZ, COLLEAGUE_HZ}
    await customer.dial(COLLEAGUE)
    await page.shows("#others .row", "6003 with 10086")
    assert await page.text("#others-title") == "For 6001 to join or pick up"
    await page.press("Listen", within="#others")
    await page.state("talking")
    await hear({page: both, customer: {COLLEAGUE_HZ}, colleague: {CUSTOMER_HZ}})
    await page.press("Whisper", within="#others")
    await page.shows("#others [aria-pressed=true]", "Whisper")
    assert await page.text("#phone-text") == "whispers"
    await hear({page: both, customer: {COLLEAGUE_HZ}, colleague: {CUSTOMER_HZ, AGENT_HZ}})
    await page.press("Barge in", within="#others")
    await page.shows("#others [aria-pressed=true]", "Barge in")
    await hear({page: both, customer: {COLLEAGUE_HZ, AGENT_HZ}, colleague: {CUSTOMER_HZ, AGENT_HZ}})
    await page.press("Take over", within="#others")
    await page.shows("#phone-title", "6001 and 10086")
    await page.until("document.getElementById('others').hidden")
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await page.give_data(AGENT, "order=4711")
    await page.shows(".data", "order 4711")
    await page.type_number(AGENT, "701", "Park")
    await page.state("ready")
    await page.shows("#others .row", "10086 waits at 701")
    await hear({page: set(), customer: MUSIC_HZ})
    await page.press("Pick up", within="#others")
    await page.state("talking")
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    await page.shows(".data", "order 4711")


async def test_the_page_picks_up_what_rings_elsewhere_and_drops_a_party(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    await desk.do(MakeCall(COLLEAGUE, CUSTOMER))
    await customer.ringing()
    await page.shows("#others .row", "6003 rings at 10086")
    await page.press("Pick up", within="#others")
    await page.state("talking")
    await customer.closed()
    await hear({page: {COLLEAGUE_HZ}, desk.ear(COLLEAGUE): {AGENT_HZ}})
    await page.press("Drop", within="#others")  # 6003 is supervised
    await page.state("ready")


async def test_the_page_records_its_call_and_plays_what_was_recorded(
    desk: Desk, page: EndpointPage, talking: None
) -> None:
    """Pressed are all buttons of a recording; then Play, which fetches the file with the token."""
    assert await page.run("document.getElementById('recordings').hidden")
    await page.press("Record")
    recording = (await desk.event(RecordingStarted, device=AGENT)).recording
    await page.shows("#recordings .chip", "recording")
    await page.press("Pause recording")
    await desk.event(RecordingPaused, recording=recording)
    await page.press("Go on recording")
    await desk.event(RecordingResumed, recording=recording)
    await page.press("Stop recording")
    await desk.event(RecordingStopped, recording=recording)
    await page.shows("#recordings .chip", "complete")
    await page.shows("#recordings b", f"{AGENT} | {CUSTOMER}")  # who called is right
    await page.press("Play", within="#recordings")
    await page.until("document.querySelector('#recordings audio').currentTime > 0")
    file = await desk.endpoint.recordings.get(recording)
    assert file is not None
    save, player = (f"document.querySelector('#recordings {one}')" for one in ("a", "audio"))
    assert abs(await page.run(f"{player}.duration") * 1000 - file.duration_ms) < 100
    assert await page.run(f"{save}.href === {player}.src && {save}.protocol === 'blob:'")
    assert await page.run(f"{save}.download") == named(file)
    assert await page.run("document.getElementById('past').hidden")
    await page.press("Hang up")
    await desk.cleared()
    await page.shows("#past h2", f"Last calls of {AGENT}")
    await page.shows("#past b", CUSTOMER)
    await page.shows("#past .chip", "normal")
    await page.shows("#past summary", f"somebody hung up. {AGENT} let go.")
    assert await page.text("#past .row span") != "not answered"
    await page.run(f"{player}.src = ''; document.querySelector('#past a').click()")
    await page.until(f"{player}.src && {player}.currentTime > 0")
    await page.dial(AGENT, "10087")
    await page.shows("#past summary", "Nobody has this number.")
    assert await page.text("#past .row span") == "not answered"
    assert await page.run("document.querySelectorAll('#past .row').length") == 2
    await page.run("document.getElementById('forget').click()")
    assert not await page.run("document.querySelector('#recordings audio').src")
    for place in ("recordings", "past"):
        assert await page.run(f"document.querySelectorAll('#{place} .row').length") == 0


async def test_a_page_that_nobody_looks_at_rings_and_closes_its_microphone(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    await page.hide()
    await page.run(
        "window.AudioContext = class extends AudioContext { rings = window.rung = 1 }; 0"
    )
    await customer.dial(AGENT)
    await page.until("window.rung === 1")
    call = (await desk.event(Delivered, device=AGENT)).call
    await desk.endpoint.controller.submit(AnswerCall(AGENT, call))
    await page.has_open_microphone(True)
    await customer.hang_up()
    await page.has_open_microphone(False)


async def test_the_page_calls_and_hangs_up(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    assert await page.run("document.getElementById('dial-device').value") == AGENT
    offered = "[...document.getElementById('{}').options].map(one => one.value).join()"
    telephones = ",".join([AGENT, COLLEAGUE, CUSTOMER])
    assert await page.run(offered.format("dial-device")) == f"{telephones},{IVR}"
    assert await page.run(offered.format("phone-device")) == telephones
    await page.dial(AGENT, CUSTOMER)
    await customer.ringing()
    await customer.accept()
    await desk.event(Established, device=CUSTOMER)
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    await page.press("Hang up")
    await customer.closed()
    await page.state("ready")


async def test_a_failed_dial_is_told_and_the_next_one_comes_from_the_same_device(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    await page.dial(AGENT, "7777")
    await page.until("document.getElementById('fault').textContent.includes('404')")
    await page.until("document.getElementById('dial-go').disabled")
    assert await page.run("document.getElementById('dial-device').value") == AGENT
    await page.until("!document.getElementById('dial-go').disabled")
    assert await page.run("document.getElementById('dial-device').value") == AGENT


async def test_how_audio_comes_is_shown_and_that_it_is_held(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    def shown(device: str, text: str) -> str:
        node = f"document.querySelector('.quality[data-device=\"{device}\"]')"
        return f"{node}?.textContent.includes('{text}')"

    await page.dial(AGENT, CUSTOMER)
    await customer.ringing()
    await customer.accept()
    await page.until(shown(AGENT, "DTLS-SRTP (AES-"))
    await page.until(shown(CUSTOMER, "unprotected"))
    await page.until("document.querySelector('.side.heard') === null")
    await page.press("Hold")
    await page.until(shown(AGENT, "to it: held"))


async def test_the_call_goes_on_through_an_ice_restart_and_a_reload(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    await page.dial(AGENT, CUSTOMER)
    await customer.ringing()
    await customer.accept()
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    before = await page.ice()
    await page.lose_its_way()
    await page.until(f"connection.localDescription.sdp.includes('{before}') === false")
    await page.state("talking")
    assert await page.ice() != before
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})

    await page.reload()
    await page.state("talking")
    await desk.event(DeviceRegistered, device=AGENT, server="browser")
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})
    await page.press("Hang up")
    await customer.closed()


async def test_the_telephone_comes_back_when_the_media_process_was_lost(
    desk: Desk, page: EndpointPage, customer: Baresip
) -> None:
    await page.run(
        "window.callers = new Set(); const from = document.getElementById('dial-device');"
        "new MutationObserver(() => callers.add(from.value)).observe(from, { childList: true })"
    )
    assert desk.endpoint.media_workers[0].pid is not None
    os.kill(desk.endpoint.media_workers[0].pid, signal.SIGKILL)
    await desk.event(DeviceUnregistered, device=AGENT, cause=Cause.MEDIA_LOST)
    await desk.event(DeviceRegistered, device=AGENT, server="browser")
    await page.state("ready")
    assert await page.run("[...callers].join()") == AGENT
    await customer.dial(AGENT)
    await page.press("Answer")
    await hear({page: {CUSTOMER_HZ}, customer: {AGENT_HZ}})


async def test_a_restart_that_was_overtaken_by_a_new_session_leaves_that_alone(
    desk: Desk, page: EndpointPage
) -> None:
    await page.run(
        "window.puts = 0; const ask = window.fetch;"
        "window.fetch = (to, how) => { puts += how.method === 'PUT'; return ask(to, how); };"
        "Object.defineProperty(connection, 'iceGatheringState', { get: () => 'gathering' });"
        "const wait = window.setTimeout;"
        "const late = ms => { window.late ||= ms === 2000; };"
        "window.setTimeout = (step, ms) => wait(() => { step(); late(ms); }, ms); 0"
    )
    await page.lose_its_way()
    assert desk.endpoint.media_workers[0].pid is not None
    os.kill(desk.endpoint.media_workers[0].pid, signal.SIGKILL)
    await desk.event(DeviceRegistered, device=AGENT, server="browser")
    await page.until("window.late")  # it has given up waiting for candidates
    await page.state("ready")
    assert await page.run("puts") == 0


async def test_another_page_takes_over(desk: Desk, page: EndpointPage, tmp_path: Path) -> None:
    async with opened(desk, tmp_path / "other") as other:
        await other.use(AGENT)
        await other.state("ready")
        await page.state("off")
        await page.fault("Another page")
        await other.press("Stop")
        await desk.event(DeviceUnregistered, device=AGENT, server="browser")


async def test_a_browser_that_plays_nothing_before_a_click_is_told_of(
    desk: Desk, tmp_path: Path
) -> None:
    async with opened(desk, tmp_path / "page") as page:
        await page.run(
            "HTMLAudioElement.prototype.play = async () => {"
            " throw new DOMException('autoplay', 'NotAllowedError'); }; 0"
        )
        await page.use(AGENT)
        await page.state("ready")
        await page.fault("Click anywhere")
        await page.run("delete HTMLAudioElement.prototype.play; document.body.click()")
        await page.until("document.getElementById('phone-fault').textContent === ''")


async def test_a_refused_microphone_is_told(desk: Desk, tmp_path: Path) -> None:
    async with opened(desk, tmp_path / "page", tone_hz=None) as page:
        await page.use(AGENT)
        await page.fault("microphone was refused")
