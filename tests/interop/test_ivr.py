"""baresip in flows of the IVR: it presses keys and hears prompts, at every kind of node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from endpoint.callcontrol.commands import (
    AssociateData,
    ClearConnection,
    ConferenceCall,
    ConsultationCall,
    GenerateDigits,
    MakeCall,
    SingleStepTransfer,
)
from endpoint.callcontrol.events import (
    CallInformation,
    ConnectionCleared,
    Established,
    IvrVisited,
    TransferFailed,
    Transferred,
)
from endpoint.callcontrol.model import CallId
from endpoint.errors import StorageError
from endpoint.legs.base import Cause, DeviceId

from .desk import Desk
from .peers.baresip import Baresip
from .peers.hearing import hear
from .peers.sound import MUSIC_HZ

pytestmark = pytest.mark.interop

AGENT, OTHER, CUSTOMER = DeviceId("6001"), DeviceId("6002"), DeviceId("10086")
IVR = DeviceId("59006258")
AGENT_HZ, OTHER_HZ, CUSTOMER_HZ = 1400, 1130, 1010
# Heard in other tests, or by others, than theirs.
MENU_HZ, ASK_HZ, PIN_HZ, DONE_HZ, WRONG_HZ = 590, OTHER_HZ, 1800, 2300, CUSTOMER_HZ

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FLOW = """
title = "All that a call may meet"
start = "menu"
expects = ["OrderID"]
webhooks = ["{crm}/ivr/"]

[node.menu]
kind = "menu"
prompt = {{ tone_hz = [{menu}], ms = 20000 }}
invalid_prompt = {{ tone_hz = [{wrong}], ms = 1500 }}
choices = {{ 1 = "number", 3 = "ask", 4 = "queue", 5 = "away", 6 = "back", 7 = "none" }}
tries = 2
no_input = "end"
invalid = "end"

[node.number]
kind = "collect"
prompt = {{ tone_hz = [{ask}], ms = 20000 }}
into = "number"
min_length = 2
max_length = 4
first_digit_s = 2
inter_digit_s = 1
tries = 2
no_input = "end"
invalid = "end"
next = "keep"

[node.keep]
kind = "set"
values = {{ Number = "{{number}}", Was = "{{OrderID}}" }}
next = "which"

[node.which]
kind = "branch"
on = "{{number}}"
cases = {{ 42 = "done" }}
otherwise = "menu"

[node.ask]
kind = "webhook"
url = "{crm}/ivr/tier"
send = ["OrderID", "caller"]
answers = {{ tier = "Tier" }}
timeout_s = 2
next = "told"
on_failure = "failed"

[node.told]
kind = "set"
values = {{ Tier = "{{Tier}}" }}
next = "done"

[node.failed]
kind = "set"
values = {{ Tier = "unknown: {{reason}}" }}
next = "done"

[node.queue]
kind = "queue"
skill = "1001"
max_wait_s = 20
nobody = "done"
timeout = "done"

[node.none]
kind = "queue"
skill = "nothing"
nobody = "done"
timeout = "end"

[node.away]
kind = "transfer"
to = "6002"
failed = "done"

[node.back]
kind = "return"
otherwise = "done"

[node.done]
kind = "play"
prompt = {{ tone_hz = [{done}], ms = 1700 }}
next = "end"

[node.end]
kind = "hangup"
"""


def flow(crm: str = "http://127.0.0.1:9") -> str:
    return FLOW.format(crm=crm, menu=MENU_HZ, ask=ASK_HZ, done=DONE_HZ, wrong=WRONG_HZ)


@asynccontextmanager
async def at_work(
    tmp_path: Path, *, text: str = "", settings: dict[str, Any] | None = None
) -> AsyncIterator[Desk]:
    """An endpoint with the flow at 59006258."""
    (tmp_path / "flow.toml").write_text(text or flow())
    async with Desk(
        tmp_path / "state",
        extensions=[CUSTOMER, "6003"],
        stations={AGENT: AGENT_HZ, OTHER: OTHER_HZ},
        settings={
            "ivr": [{"code": IVR, "flow": str(tmp_path / "flow.toml")}],
            "skill": [{"code": "1001", "devices": [OTHER]}],
            **(settings or {}),
        },
    ) as desk:
        yield desk


@asynccontextmanager
async def called(tmp_path: Path, **options: Any) -> AsyncIterator[tuple[Desk, Baresip]]:
    """The customer has called the IVR, and hears its menu."""
    async with (
        at_work(tmp_path, **options) as desk,
        desk.telephone(CUSTOMER, CUSTOMER_HZ) as customer,
    ):
        await customer.dial(IVR)
        await customer.established()
        await hear({customer: {MENU_HZ}})
        yield desk, customer


async def visited(desk: Desk, node: str, result: str, *, device: DeviceId = IVR) -> None:
    await desk.event(IvrVisited, device=device, node=node, result=result)


async def path_of(desk: Desk, call: CallId) -> list[tuple[str, str]]:
    """From the record of a call that is over: the nodes, and what came of them."""
    async with asyncio.timeout(10):
        while True:
            with suppress(StorageError):  # a busy machine
                if (record := await desk.endpoint.records.read(call)) is not None:
                    break
            # It is in a file when the end is told; the database has it a bit later
            await asyncio.sleep(0.05)
    return [(each.node, each.outcome) for each in record.ivr_path]


async def has_data(desk: Desk, data: dict[str, str]) -> None:
    """What the call carries may be told before or after where it is."""
    if not any(isinstance(each, CallInformation) and each.data == data for each in desk.told):
        await desk.event(CallInformation, data=data)


@pytest.mark.soak
async def test_who_presses_nothing_is_asked_again_and_let_go(tmp_path: Path) -> None:
    text = flow().replace("ms = 20000", "ms = 1200")
    text = text.replace("tries = 2", "tries = 2\ntimeout_s = 1", 1)
    async with called(tmp_path, text=text) as (desk, customer):
        await visited(desk, "menu", "no_input")
        await customer.closed()


@asynccontextmanager
async def crm(answer: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/ivr/tier", answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_keys_choose_are_data_of_the_call_and_webhooks_are_asked(tmp_path: Path) -> None:
    """Wrong keys, more than are wanted, none after the last; a webhook that answers, or is down."""
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response({"tier": "gold"})

    async with AsyncExitStack() as ours, AsyncExitStack() as theirs:
        url = await theirs.enter_async_context(crm(answer))
        text = flow(url).replace('next = "done"', 'next = "menu"')
        desk, customer = await ours.enter_async_context(called(tmp_path, text=text))
        await customer.send_digits("9")
        await hear({customer: {WRONG_HZ}})
        await customer.send_digits("17#")
        await visited(desk, "menu", "1")
        await hear({customer: {ASK_HZ}})
        await customer.send_digits("77")
        await visited(desk, "number", "77")
        await has_data(desk, {"Number": "77"})
        await customer.send_digits("3")
        await visited(desk, "ask", "answered")
        await has_data(desk, {"Number": "77", "Tier": "gold"})
        assert asked == [{"OrderID": "", "caller": CUSTOMER}]
        await theirs.aclose()
        await customer.send_digits("3")
        await visited(desk, "ask", "unreachable")
        await has_data(desk, {"Number": "77", "Tier": "unknown: unreachable"})
        await customer.send_digits("1")
        await visited(desk, "menu", "1")
        # The terminator that is not needed any more is no wrong key of the menu.
        await customer.send_digits("1234#1")
        await visited(desk, "number", "1234")
        await visited(desk, "menu", "1")
        await customer.send_digits("42#")
        await visited(desk, "which", "42")
        await hear({customer: {DONE_HZ}})
        await customer.closed()
        over = await desk.cleared()
        assert over.cause is Cause.NORMAL
        assert (await path_of(desk, over.call))[-1] == ("end", "")


@pytest.mark.soak
async def test_who_waits_for_an_agent_hears_music_and_then_him(tmp_path: Path) -> None:
    """Nobody there, no such skill, all busy; one who does not answer is passed over."""
    text = flow().replace('nobody = "done"', 'nobody = "menu"')
    skill = {"code": "1001", "devices": ["6003", OTHER], "ring_s": 1}
    async with (
        called(tmp_path, text=text, settings={"skill": [skill]}) as (desk, customer),
        Baresip(tmp_path / "6003", "6003", desk.sip, password=desk.password, tone_hz=1800) as third,
    ):
        await customer.send_digits("7")
        await visited(desk, "none", "unknown_queue")
        talk = await desk.do(MakeCall(OTHER, AGENT))
        await desk.event(Established, call=talk.call)
        await customer.send_digits("4")
        await third.ringing()
        await hear({customer: set(MUSIC_HZ)})
        (queue,) = desk.endpoint.queues.facts()
        assert (len(queue.devices), queue.free, len(queue.calls)) == (2, 1, 1)
        await desk.do(ClearConnection(OTHER, talk.call))
        await desk.event(Transferred, transferred_to=OTHER)
        await hear({customer: {OTHER_HZ}, desk.ear(OTHER): {CUSTOMER_HZ}})
        assert desk.endpoint.queues.facts()[0].calls == ()


@asynccontextmanager
async def talking(tmp_path: Path, text: str = "") -> AsyncIterator[tuple[Desk, Baresip]]:
    """Agent and customer talk, and their call carries data."""
    async with (
        at_work(tmp_path, text=text) as desk,
        desk.telephone(CUSTOMER, CUSTOMER_HZ) as customer,
    ):
        await desk.do(MakeCall(AGENT, CUSTOMER))
        await customer.ringing()
        await customer.accept()
        await desk.event(Established, device=CUSTOMER)
        await desk.do(AssociateData(AGENT, {"OrderID": "SVC_1"}))
        yield desk, customer


async def test_a_call_comes_back_to_who_sent_it_and_is_sent_on_by_the_flow(tmp_path: Path) -> None:
    """Where whom the flow sends it to can't be had, it goes on in the flow."""
    text = flow().replace('to = "6002"', 'to = "{number}"').replace('failed = "done"', "")
    text = text.replace('to = "{number}"', 'to = "{number}"\nfailed = "menu"')
    text = text.replace("[node.menu]", 'variables = { number = "6099" }\n[node.menu]')
    async with talking(tmp_path, text=text) as (desk, customer):
        await desk.do(SingleStepTransfer(AGENT, IVR))
        await visited(desk, "menu", "")
        await customer.send_digits("177#")
        await visited(desk, "number", "77")
        await visited(desk, "menu", "")
        await customer.send_digits("6")
        await desk.event(Transferred, transferred_to=AGENT)
        await hear({customer: {AGENT_HZ}, desk.ear(AGENT): {CUSTOMER_HZ}})
        (call,) = desk.endpoint.controller.calls()
        assert call.data == {"OrderID": "SVC_1", "Number": "77", "Was": "SVC_1"}

        await desk.do(SingleStepTransfer(AGENT, IVR))
        await visited(desk, "menu", "")
        await customer.send_digits("5")
        await desk.event(TransferFailed, transferred_to="6099")
        await visited(desk, "away", "unknown_device")
        await visited(desk, "menu", "")
        await customer.send_digits("16002#")
        await visited(desk, "number", "6002")
        await visited(desk, "menu", "")
        await customer.send_digits("5")
        await desk.event(Transferred, transferred_to=OTHER)
        await hear({customer: {OTHER_HZ}, desk.ear(OTHER): {CUSTOMER_HZ}})


@pytest.mark.soak
async def test_an_ivr_is_consulted_and_comes_into_a_conference(tmp_path: Path) -> None:
    """Whoever hears it is heard by it: keys of each count."""
    async with talking(tmp_path) as (desk, customer):
        held = next(call.id for call in desk.endpoint.controller.calls())
        second = await desk.do(ConsultationCall(AGENT, IVR))
        await hear({customer: set(MUSIC_HZ)})
        await desk.do(ConferenceCall(AGENT, second.call, held))
        await hear({customer: {MENU_HZ, AGENT_HZ}, desk.ear(AGENT): {MENU_HZ, CUSTOMER_HZ}})
        await customer.send_digits("1")
        await visited(desk, "menu", "1")
        await desk.do(GenerateDigits(AGENT, "42#"))
        await visited(desk, "number", "42")
        await desk.event(ConnectionCleared, device=IVR)
        await hear({customer: {AGENT_HZ}, desk.ear(AGENT): {CUSTOMER_HZ}})


async def test_who_hangs_up_while_others_are_called_or_asked_for_him_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    """While a webhook has not answered, while an agent rings, while another device does."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def never(request: web.Request) -> web.Response:
        asked.set()
        try:
            await asyncio.sleep(60)
        finally:
            left.set()
        raise AssertionError("nobody has hung up")

    skill = {"code": "1001", "devices": ["6003"]}
    async with (
        crm(never) as url,
        at_work(
            tmp_path,
            text=flow(url)
            .replace('to = "6002"', 'to = "6003"')
            .replace("timeout_s = 2", "timeout_s = 30"),
            settings={"skill": [skill]},
        ) as desk,
        desk.telephone(CUSTOMER, CUSTOMER_HZ) as customer,
        desk.telephone(DeviceId("6003"), OTHER_HZ) as third,
    ):
        for key, node, result in (
            ("3", "ask", ""),
            ("4", "queue", "abandoned"),
            ("5", "away", ""),
        ):
            await customer.dial(IVR)
            await visited(desk, "menu", "")
            await customer.send_digits(key)
            if node == "ask":
                async with asyncio.timeout(15):
                    await asked.wait()
            else:
                await third.ringing()
            await customer.hang_up()
            if node == "ask":
                async with asyncio.timeout(15):
                    await left.wait()
            else:
                await third.closed()
            over = await desk.cleared()
            assert (over.cause, over.releasing_device) == (Cause.NORMAL, CUSTOMER)
            assert await path_of(desk, over.call) == [("menu", key), (node, result)]
            assert not desk.endpoint.controller.calls()
            await until(lambda: desk.endpoint.ivrs.facts()[0].calls == 0)
            assert desk.endpoint.queues.facts()[0].calls == ()


@pytest.mark.soak
async def test_an_ivr_calls_a_customer(tmp_path: Path) -> None:
    """It dials as any device of ours does."""
    async with (
        at_work(tmp_path) as desk,
        desk.telephone(CUSTOMER, CUSTOMER_HZ) as customer,
    ):
        await desk.do(MakeCall(IVR, CUSTOMER))
        await customer.ringing()
        await customer.accept()
        await hear({customer: {MENU_HZ}})
        await customer.send_digits("1")
        await hear({customer: {ASK_HZ}})


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not is_so():  # noqa: ASYNC110 # nobody tells when a file has been read
            await asyncio.sleep(0.05)
