"""Other pages than the soft phone's own: commands by HTTP, as JSON and as scripts; parameters."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from endpoint.agents.attempts import Attempts
from endpoint.app.settings import Config
from endpoint.errors import ConfigurationError
from tests.softphone import SoftPhone

from .office import ANNA, BERT, PIN, Office, configuration, office_of

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

PAGE = "https://crm.example"
COMMAND, RELOAD = "processJsonpCommand.do", "reloadSystemParam.do"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    config = configuration(
        tmp_path_factory.mktemp("house"),
        {"jsonp": True},
        http={"port": 0, "plain_port": 0, "origins": [PAGE], "wrong_tokens_per_minute": 100},
    )
    async with office_of(config) as office:
        yield office


@pytest_asyncio.fixture(loop_scope="module")
async def page(office: Office) -> AsyncIterator[SoftPhone]:
    """Anna's, at work; nobody has guessed anything yet."""
    office.endpoint.basiccall.pages._wrong = Attempts()
    async with office.at_work() as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def http(office: Office) -> AsyncIterator[aiohttp.ClientSession]:
    url = f"{office.url.replace('ws', 'http', 1)}/WSAgentServer/softphone/"
    async with aiohttp.ClientSession(url) as session:
        yield session


def frame(page: SoftPhone, command: str, **more: Any) -> dict[str, Any]:
    params = more.pop("params", {})
    return {
        "command": command,
        "objectClass": "SPCommand",
        "delegatorId": page.delegator_id,
        "ins": page.ins,
        "params": params,
        **more,
    }


def token_of(page: SoftPhone) -> str:
    token = page.events[-1]["params"].get("commandToken") or next(
        each["params"]["commandToken"] for each in page.events if each["event"] == "LogonSucc"
    )
    assert isinstance(token, str)
    return token


async def asked(
    http: aiohttp.ClientSession, page: SoftPhone, command: str = "Leave", **more: Any
) -> tuple[int, str, str]:
    """By a script: status, type, text."""
    headers = {"Referer": f"{PAGE}/orders?x=1", "Cookie": "s=1", **more.pop("headers", {})}
    query = {"callback": "jQuery1_2", "token": token_of(page), **more.pop("query", {})}
    query["jsonCommand"] = json.dumps(frame(page, command, **more))
    async with http.get(COMMAND, params=query, headers=headers) as answer:
        assert answer.status != 200 or answer.headers["X-Content-Type-Options"] == "nosniff"
        return answer.status, answer.content_type, await answer.text()


async def posted(
    http: aiohttp.ClientSession, token: str, frame: dict[str, Any] | str, **headers: str
) -> tuple[int, dict[str, Any]]:
    body = frame if isinstance(frame, str) else json.dumps(frame)
    bearer = {"Authorization": f"Bearer {token}"} | headers
    async with http.post(COMMAND, data=body.encode(), headers=bearer) as answer:
        return answer.status, await answer.json()


async def test_another_page_dials_and_sends_the_call_to_an_ivr(
    office: Office, page: SoftPhone, http: aiohttp.ClientSession
) -> None:
    """The seed's two, with a token: the response goes there, the events to the soft phone."""
    token = (await office.client.log_in(ANNA, PIN)).access_token
    dial = frame(page, "Dial", params={"phoneNum": "6003"})
    status, answer = await posted(http, token, dial, Origin=PAGE)
    assert (status, answer["command"], answer["errorCode"]) == (200, "Dial", "Succ")
    await page.shows(6)
    data = {"SVN": "999", "TRANSFERPREPARE_CHECKPASSWORD": "0", "OrderID": "SVC_1234567"}
    status, answer = await posted(http, token, frame(page, "TransferToIVR", params=data))
    assert (status, answer["errorCode"]) == (200, "Succ")
    await page.shows(19)
    assert ("done", "Dial") not in page.heard
    (call,) = office.endpoint.controller.calls()
    assert call.data["OrderID"] == "SVC_1234567"


async def test_a_page_that_may_ask_is_told_that_it_may_read_the_answer(
    http: aiohttp.ClientSession,
) -> None:
    wanted = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    async with http.options(COMMAND, headers=wanted) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    for method in ("OPTIONS", "POST", "GET"):
        async with http.request(method, COMMAND, headers={"Origin": f"{PAGE}.evil"}) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_s19_whose_token_and_whose_session_have_to_be_one(
    office: Office, page: SoftPhone, http: aiohttp.ClientSession
) -> None:
    installation = office.endpoint.token
    own = (await office.client.log_in(ANNA, PIN)).access_token
    async with office.at_work(BERT, "6002") as bert:
        assert (await posted(http, own, frame(bert, "Leave")))[0] == 403
        assert (await posted(http, "guessed", frame(page, "Leave")))[0] == 401
        reads = await office.client.add_program("reads", ["calls:read"], 3600)
        assert (await posted(http, reads.access_token, frame(page, "Leave")))[0] == 403
        for wrong, code in (
            (frame(page, "Leave", ins="6003"), "InvalidIns"),
            (frame(page, "Leave", delegatorId=bert.delegator_id), "DelegatorIdNoMatch"),
            (frame(page, "Leave", params={"agentId": BERT}), "ProcessFailed"),
            (frame(page, "Init", params={"agentId": ANNA}), "ProcessFailed"),
            (frame(page, "Logon", params={"agentId": ANNA}), "ProcessFailed"),
            (frame(page, "Dail"), "UnknownCommand"),
            ("[" * 10_000, "UnknownCommand"),
        ):
            status, answer = await posted(http, installation, wrong)
            assert (status, answer["errorCode"]) == (200, code)
        assert (await posted(http, installation, " " * 70_000))[0] == 413
        guess = frame(page, "Leave", delegatorId="guess")
        answers = [await posted(http, installation, guess) for _ in range(10)]
        assert [status for status, _ in answers] == [200] * 9 + [429]
        assert (await posted(http, installation, frame(page, "Leave")))[0] == 429
        await page.send("WSHello", helloInfo="", time="")
        await page.until("onWSHello")
        assert (page.state, bert.state) == (3, 3)


async def test_s18_a_script_does_nothing_without_the_session_s_token_and_an_admitted_page(
    page: SoftPhone, http: aiohttp.ClientSession
) -> None:
    wrong: list[tuple[int, dict[str, Any]]] = [
        (401, {"query": {"token": ""}}),
        (401, {"query": {"token": page.delegator_id}}),
        (403, {"headers": {"Referer": ""}}),
        (403, {"headers": {"Referer": "https://crm.example.evil/"}}),
        (403, {"headers": {"Referer": "http://crm.example/"}}),
        (403, {"headers": {"Referer": "https://[crm.example/"}}),
        (403, {"headers": {"Origin": "https://evil.example"}}),
        (403, {"headers": {"Sec-Fetch-Dest": "image"}}),
        (400, {"query": {"callback": "alert(1)//"}}),
        (400, {"query": {"callback": ""}}),
    ]
    for expected, more in wrong:
        status, kind, text = await asked(http, page, **more)
        assert (status, "javascript" in kind) == (expected, False), more
        assert "jQuery" not in text.replace("as jQuery1_2", "")
    status, _, text = await asked(http, page, delegatorId="guess")
    assert (status, "DelegatorIdNoMatch" in text) == (200, True)
    await page.send("WSHello", helloInfo="", time="")
    await page.until("onWSHello")
    assert page.state == 3


async def test_a_script_has_a_command_done_where_all_is_right(
    page: SoftPhone, http: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    token = token_of(page)
    status, kind, text = await asked(http, page, params={"leaveReason": "0"})
    assert (status, kind) == (200, "application/javascript")
    assert text.startswith('/**/jQuery1_2({"objectClass":"SPResponse","command":"Leave",')
    await page.shows(23)
    _, _, text = await asked(http, page, "ResumeWork", params={"x": "</script>"})
    assert '"errorCode":"Succ"' in text
    await page.shows(3)
    await page.do("Logoff")
    await page.until("onLogoffSucc")
    assert "InvalidIns" in (await asked(http, page))[2]
    await page.logon()
    await page.shows(3)
    status, _, _ = await asked(http, page, query={"token": token})
    assert status == 401, "the token before is over"
    logged = capsys.readouterr()
    assert token not in logged.out + logged.err
    assert page.delegator_id not in logged.out + logged.err


async def test_s18_scripts_are_taken_only_where_that_is_switched_on(strict_office: Office) -> None:
    async with strict_office.at_work(code=PIN) as page, aiohttp.ClientSession() as http:
        assert "commandToken" not in str(page.events)
        url = f"{strict_office.url.replace('ws', 'http', 1)}/{COMMAND}"
        query = {"callback": "cb", "jsonCommand": json.dumps(frame(page, "Leave"))}
        async with http.get(url, params=query, headers={"Referer": PAGE}) as answer:
            assert (answer.status, answer.content_type) == (404, "text/plain")
            assert "POST" in await answer.text()


async def test_s21_parameters_are_read_anew_for_an_administrator_alone(
    office: Office, page: SoftPhone, http: aiohttp.ClientSession
) -> None:
    endpoint = office.endpoint
    table = {"SOFTPHONEMASKENABLED": "33,34"}
    written = endpoint.config.basiccall.model_copy(update={"system_param": table})
    endpoint.reread = lambda: endpoint.config.model_copy(update={"basiccall": written})

    async def reload(token: str | None) -> tuple[int, str]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with http.get(RELOAD, headers=headers) as answer:
            return answer.status, await answer.text()

    own = (await office.client.log_in(ANNA, PIN)).access_token
    assert (await reload(None))[0] == 401
    assert (await reload(own))[0] == 403
    assert 33 in page.buttons()
    assert await reload(endpoint.token) == (200, "true")
    await page.init()
    await page.until("onNotifySettings")
    assert 33 not in page.buttons()
    assert 36 in page.buttons()


async def test_parameters_that_are_wrong_change_nothing(
    office: Office, http: aiohttp.ClientSession
) -> None:
    def reread() -> Config:
        raise ConfigurationError(["basiccall.system_param: ONESTEPTRANSFERSUPPORT: found '2'"])

    before = office.endpoint.config.basiccall.parameters
    office.endpoint.reread = reread
    headers = {"Authorization": f"Bearer {office.endpoint.token}"}
    async with http.get(RELOAD, headers=headers) as answer:
        assert answer.status == 422
        assert "ONESTEPTRANSFERSUPPORT" in await answer.text()
    office.endpoint.reread = lambda: office.endpoint.config
    async with http.get(RELOAD, headers=headers) as answer:
        assert await answer.json() is True
    assert office.endpoint.config.basiccall.parameters == before


async def test_on_this_machine_parameters_are_read_anew_without_a_token_where_that_is_so(
    office: Office, http: aiohttp.ClientSession
) -> None:
    settings = office.endpoint.basiccall.pages._settings
    office.endpoint.basiccall.pages._settings = settings.model_copy(
        update={"reload_from_loopback": True}
    )
    async with http.get(RELOAD) as answer:
        assert await answer.json() is True
    async with http.get(RELOAD, headers={"Sec-Fetch-Site": "cross-site"}) as answer:
        assert answer.status == 401, "a page that the browser of this machine shows is no person"
