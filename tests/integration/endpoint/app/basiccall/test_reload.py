"""In each state of a call: a page that is loaded anew, or takes over, shows what the last one did.

Whatever has brought it about: the page, a colleague's, or a program by the native interface.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from endpoint.agents.attempts import Attempts
from endpoint.callcontrol import commands as do
from endpoint.callcontrol.model import Participation
from endpoint.legs.base import DeviceId
from tests.softphone import SoftPhone
from tests.virtual_endpoint import have_it_in_this_loop

from .floor import SLOW_REMOTE, Floor, dials, hang_up, open_floor, picks_up, to_agent
from .office import ANNA, BERT, CARL

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

A, B, C = DeviceId("6001"), DeviceId("6002"), DeviceId("6003")
HER, HIM, CARLS = to_agent(A), to_agent(B), to_agent(C)
OUT = {"destSPType": "OUT", "destSPIns": "10087"}
SLOW = {"destSPType": "OUT", "destSPIns": "10088"}
CHECKED = {"SVN": "8888", "TRANSFERPREPARE_CHECKPASSWORD": "1"}
GROUP = [{"devices": ["600*"]}]
NUMBER_OF = {"6001": ANNA, "6002": BERT, "6003": CARL}


@dataclass
class Pages:
    """Of Anna, whose telephone does not pick up by itself, Bert and Carl, in this order."""

    floor: Floor
    now: dict[str, SoftPhone]
    lives: AsyncExitStack
    seen: set[int] = field(default_factory=set)
    """States in which a page was loaded anew."""

    @property
    def anna(self) -> SoftPhone:
        return self.now["6001"]

    @property
    def bert(self) -> SoftPhone:
        return self.now["6002"]

    @property
    def carl(self) -> SoftPhone:
        return next(page for page in self.now.values() if page.agent == CARL)

    async def stand(self, act: Awaitable[object] | do.Command, *states: int) -> None:
        """What their pages show by an act; then the same on pages that are there in their place."""
        if isinstance(act, Awaitable):
            await act
        else:
            await self.floor.office.endpoint.controller.submit(act)
        for page, state in zip(self.now.values(), states, strict=True):
            try:
                await page.stands_at(state)
            except TimeoutError:
                shown = [page.state for page in self.now.values()]
                raise AssertionError(f"{act}: pages show {shown}, not {states}") from None
        for (ins, before), state in zip(list(self.now.items()), states, strict=True):
            again = await self._opened(before, delegator_id=before.delegator_id)
            await before.socket.close()
            other = await self._opened(again, confirms=True)
            await again.until("onWebSocketReplaced")
            for page, how in ((again, "loaded anew"), (other, "took over")):
                assert (page.state, how, ins) == (state, how, ins)
                assert before.state == state
                assert page.buttons() == before.buttons(), (ins, how)
            await again.socket.close()
            self.now[ins] = other
            self.seen.add(state)

    async def _opened(self, before: SoftPhone, **attrs: object) -> SoftPhone:
        page = self.floor.office.page(before.agent, before.ins, **attrs)
        opened = await self.lives.enter_async_context(page)
        if "confirms" in attrs:
            await opened.until("onConfirmReplaceWebSocket")
        await opened.until("onNotifySettings")
        return opened

    async def go_home(self) -> None:
        """All calls are over."""
        controller = self.floor.office.endpoint.controller
        for customer in ("10086", "10087", "10088"):
            await hang_up(self.floor, customer)
        for ins, page in self.now.items():
            for _, call, _ in controller.whereabouts.connections_of(DeviceId(ins)):
                await controller.submit(do.ClearConnection(DeviceId(ins), call.id))
            await page.stands_at(3, 19)
            if page.state == 19:
                await page.do("FinishWrapup")
                await page.stands_at(3)


@pytest.fixture
async def pages(
    one_clock: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Pages]:
    have_it_in_this_loop(monkeypatch)
    async with (
        open_floor(tmp_path, pickup_group=GROUP) as floor,
        AsyncExitStack() as lives,
    ):
        # More often in a minute than is allowed, as virtual minutes take no time.
        floor.office.endpoint.roster._taken = Attempts(10_000)
        yield Pages(floor, dict(floor.pages), lives)


async def test_what_a_page_shows_is_what_one_in_its_place_shows(pages: Pages) -> None:
    await a_customer_is_talked_with(pages)
    await a_colleague_is_consulted(pages)
    await somebody_outside_is_consulted(pages)
    await a_third_one_is_called_in(pages)
    await a_customer_is_passed_on(pages)
    await colleagues_talk(pages)
    await a_supervisor_has_part(pages)
    await a_call_is_picked_up(pages)
    in_calls = {5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 18, 20, 21, 22, 25, 26, 30, 31, 32}
    assert pages.seen >= {*in_calls, 38, 41, 42, 3, 19, 23}


async def answers(pages: Pages) -> None:
    await dials(pages.floor, "10086", "6001")
    await pages.anna.stands_at(5)
    await pages.anna.do("AnswerCall")
    await pages.anna.stands_at(6)


async def a_customer_is_talked_with(pages: Pages) -> None:
    stand = pages.stand
    await stand(dials(pages.floor, "10086", "6001"), 5, 3, 3)
    await stand(pages.anna.do("AnswerCall"), 6, 3, 3)
    await stand(pages.anna.do("Hold"), 7, 3, 3)
    await stand(pages.anna.do("FetchHold"), 6, 3, 3)
    await stand(pages.anna.do("Leave", leaveReason="2"), 6, 3, 3)
    await stand(hang_up(pages.floor, "10086"), 19, 3, 3)
    page = pages.anna
    await stand(page.do("FinishWrapup"), 23, 3, 3)
    assert "LeaveSucc" in [each["event"] for each in page.events], "it was loaded after she asked"
    await stand(pages.anna.do("ResumeWork"), 3, 3, 3)


async def a_colleague_is_consulted(pages: Pages) -> None:
    stand = pages.stand
    await answers(pages)
    await stand(pages.anna.do("Consult", **HIM), 11, 20, 3)
    await stand(pages.anna.do("ConsultSwap"), 12, 38, 3)
    await stand(pages.anna.do("ConsultSwapBack"), 11, 20, 3)
    await stand(do.HoldCall(B), 11, 7, 3)
    await stand(do.RetrieveCall(B), 11, 20, 3)
    await stand(pages.anna.do("ConsultConf"), 21, 30, 3)
    await stand(do.HoldCall(B), 21, 7, 3)
    await stand(do.ClearConnection(B), 6, 3, 3)
    await stand(pages.anna.do("Consult", **HIM), 11, 20, 3)
    await stand(hang_up(pages.floor, "10086"), 26, 20, 3)
    await stand(pages.anna.do("Hold"), 41, 38, 3)
    await pages.go_home()


async def somebody_outside_is_consulted(pages: Pages) -> None:
    stand = pages.stand
    await answers(pages)
    await stand(pages.anna.do("Consult", **SLOW), 13, 3, 3)
    await stand(pages.anna.do("CancelConsult"), 6, 3, 3)
    await stand(pages.anna.do("Consult", **OUT), 14, 3, 3)
    await stand(pages.anna.do("ConsultSwap"), 15, 3, 3)
    await stand(pages.anna.do("ConsultConf"), 22, 3, 3)
    await stand(pages.anna.do("Consult", **HIM), 11, 20, 3)
    await stand(do.ConferenceCall(A), 21, 30, 3)
    await pages.go_home()


async def a_third_one_is_called_in(pages: Pages) -> None:
    """By SingleStepConference, which no button of a page is for."""
    stand = pages.stand
    await answers(pages)
    await stand(do.SingleStepConference(A, B), 21, 30, 3)
    await stand(do.SingleStepConference(B, C), 30, 21, 30)
    await stand(do.ClearConnection(A), 19, 21, 30)
    await stand(hang_up(pages.floor, "10086"), 19, 6, 6)
    await stand(do.ClearConnection(C), 19, 3, 3)
    await pages.go_home()
    await stand(pages.bert.do("Dial", phoneNum="10087"), 3, 6, 3)
    await stand(do.SingleStepConference(B, A), 5, 6, 3)
    await stand(pages.anna.do("AnswerCall"), 30, 21, 3)
    await stand(do.SingleStepConference(B, C, participation=Participation.SILENT), 30, 21, 17)
    await stand(do.ClearConnection(A), 3, 6, 17)
    await pages.go_home()


async def a_customer_is_passed_on(pages: Pages) -> None:
    stand = pages.stand
    await answers(pages)
    await stand(pages.anna.do("TransferToIVR", **CHECKED), 31, 3, 3)
    await stand(pages.anna.do("CancelWait"), 6, 3, 3)
    await stand(do.LendCall(A, "8888"), 31, 3, 3)
    await stand(pages.anna.do("CancelWait"), 6, 3, 3)
    await stand(pages.anna.do("Consult", **HIM), 11, 20, 3)
    await stand(pages.anna.do("ConsultTransfer"), 19, 6, 3)
    out = {"destType": "OUT", "destIns": "10088"}
    await stand(pages.bert.do("OneStepTransfer", **out), 19, 32, 3)
    await stand(picks_up(pages.floor), 19, 3, 3)
    await pages.go_home()


async def colleagues_talk(pages: Pages) -> None:
    stand = pages.stand
    await stand(pages.bert.do("CallInner", **HER), 5, 25, 3)
    await stand(pages.anna.do("AnswerCall"), 26, 26, 3)
    await stand(pages.bert.do("Consult", **CARLS), 42, 11, 20)
    await stand(pages.bert.do("ConsultSwap"), 26, 12, 38)
    await stand(pages.bert.do("ConsultConf"), 30, 21, 30)
    await stand(do.ClearConnection(B), 26, 3, 26)
    await stand(pages.carl.do("Hold"), 42, 3, 41)
    await pages.go_home()
    await stand(pages.bert.do("CallInner", **CARLS), 3, 26, 26)
    await stand(pages.bert.do("Consult", **HER), 5, 10, 42)
    await stand(pages.anna.do("AnswerCall"), 20, 11, 42)
    await stand(pages.bert.do("ConsultTransfer"), 26, 3, 26)
    await stand(pages.carl.do("OneStepTransfer", destType="OUT", destIns="10088"), 26, 3, 32)
    await pages.go_home()
    await stand(pages.bert.do("Dial", phoneNum="6003"), 3, 6, 26)
    await stand(pages.bert.do("Hold"), 3, 7, 42)
    await stand(do.ClearConnection(C), 3, 3, 3)
    await stand(pages.bert.do("Dial", phoneNum="6001"), 5, 9, 3)
    await pages.go_home()


async def a_supervisor_has_part(pages: Pages) -> None:
    stand = pages.stand
    await answers(pages)
    await stand(pages.carl.do("MonitorAgent", **HER), 6, 3, 17)
    await stand(do.JoinCall(C, A, Participation.WHISPER), 6, 3, 17)
    await stand(pages.carl.do("Intervence", **HER), 6, 3, 18)
    await stand(do.SingleStepConference(A, B), 21, 30, 18)
    await stand(do.ClearConnection(B), 6, 3, 18)
    await stand(pages.carl.do("Intercept", **HER), 19, 3, 6)
    await pages.go_home()
    await answers(pages)
    await stand(do.InterceptCall(C, A), 19, 3, 6)
    await pages.go_home()


async def a_call_is_picked_up(pages: Pages) -> None:
    stand = pages.stand
    await dials(pages.floor, "10086", "6001")
    await pages.anna.stands_at(5)
    await stand(do.DirectedPickupCall(B, A), 3, 6, 3)
    await stand(do.ParkCall(B, DeviceId("701")), 3, 3, 3)
    await stand(do.DirectedPickupCall(C, DeviceId("701")), 3, 3, 6)
    await pages.go_home()


async def test_while_a_telephone_is_waited_for(pages: Pages) -> None:
    """Carl's is at the carrier, and is picked up by hand."""
    carl = pages.now.pop("6003")
    await carl.do("Logoff")
    await carl.until("onLogoffSucc")
    at_work = pages.floor.office.at_work(CARL, SLOW_REMOTE)
    pages.now[SLOW_REMOTE] = await pages.lives.enter_async_context(at_work)
    stand = pages.stand
    await stand(pages.carl.do("Dial", phoneNum="10086"), 3, 3, 9)
    await stand(pages.carl.do("CancelDial"), 3, 3, 3)
    await stand(pages.bert.do("Dial", phoneNum=SLOW_REMOTE), 3, 9, 5)
    await stand(pages.carl.do("AnswerCall"), 3, 9, 27)
    await stand(picks_up(pages.floor), 3, 6, 26)
    await stand(pages.bert.do("DropCall"), 3, 3, 3)
    await stand(pages.bert.do("Dial", phoneNum="10087"), 3, 6, 3)
    await stand(pages.carl.do("MonitorAgent", **HIM), 3, 6, 16)
    await stand(picks_up(pages.floor), 3, 6, 17)
    await stand(pages.bert.do("DropCall"), 3, 3, 3)
    assert pages.seen >= {5, 9, 16, 17, 27}
