"""`serve` as a process of its own: what it says, who drives it, how it stops."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from endpoint.app.context import running_client
from endpoint.app.enrolment import add_extension
from endpoint.app.settings import AccountSettings
from endpoint.app.state import StateDirectory
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient
from endpoint.storage.extensions import Extension

from .conftest import PASSWORD, configuration

pytestmark = pytest.mark.integration

PATIENCE_S = 40.0
COMMAND = (sys.executable, "-m", "endpoint")


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """An environment with a state directory of its own, free ports and two stations."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AGENT_ENDPOINT_")}
    stations = [{"device": device, "kind": "tone"} for device in ("6002", "6003")]
    return inherited | {
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
        "AGENT_ENDPOINT_STATE__DIRECTORY": str(tmp_path / "state"),
        "AGENT_ENDPOINT_HTTP__PORT": "0",
        "AGENT_ENDPOINT_HTTP__PLAIN_PORT": "0",
        "AGENT_ENDPOINT_SIP__PORT": "0",
        "AGENT_ENDPOINT_CALLS__DRAIN_TIMEOUT_S": "30",
        "AGENT_ENDPOINT_STATION": json.dumps(stations),
        "AGENT_ENDPOINT_LOG__FORMAT": "json",
        "AGENT_ENDPOINT_MEDIA__WEBRTC_READY": "false",  # see `configuration`
    }


@asynccontextmanager
async def started(
    surroundings: dict[str, str],
    *arguments: str,
    given: str = "",
    before: tuple[str, ...] = (),
    errors: int = PIPE,
) -> AsyncIterator[Process]:
    """A command; `before` it, what runs it; `errors`: where its standard error goes."""
    process = await asyncio.create_subprocess_exec(
        *before, *COMMAND, *arguments, stdin=PIPE, stdout=PIPE, stderr=errors, env=surroundings
    )
    assert process.stdin is not None
    process.stdin.write(given.encode())
    process.stdin.close()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: Process) -> Any:
    """The next JSON line on its standard output."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        text = await process.stdout.readline()
    if not text:
        _, complaint = await process.communicate()
        raise AssertionError(complaint.decode())
    return json.loads(text)


async def ended(process: Process) -> int:
    async with asyncio.timeout(PATIENCE_S):
        return await process.wait()


async def test_other_commands_drive_the_endpoint_that_runs(surroundings: dict[str, str]) -> None:
    async with started(surroundings, "serve", "--json") as serve:
        ready = await line(serve)
        assert ready["ok"]
        assert ready["token"].endswith("/state/token")
        assert ready["warnings"] == []
        dial = ("dial", "6003", "--from", "6002", "--detach", "--json")
        async with started(surroundings, *dial) as command:
            assert (await line(command))["established"]
            assert await ended(command) == 0
        async with started(surroundings, "hold", "6002", "--json") as command:
            assert (await line(command))["command"] == "HoldCall"
        async with started(surroundings, "status", "--json") as command:
            (call,) = (await line(command))["calls"]
            assert [party["state"] for party in call["parties"]] == ["hold", "connected"]
        async with started(surroundings, "hang-up", "6002", "--json") as command:
            assert await ended(command) == 0
        serve.send_signal(signal.SIGTERM)
        assert await ended(serve) == 0


async def test_a_second_endpoint_is_kept_out_of_the_state_directory(
    surroundings: dict[str, str],
) -> None:
    async with started(surroundings, "serve", "--json") as serve:
        ready = await line(serve)
        async with started(surroundings, "serve", "--json") as second:
            refused = await line(second)
            assert f"(pid {ready['pid']}" in refused["text"]
            assert await ended(second) == 4


async def test_sigterm_lets_calls_end_and_a_second_signal_hangs_up(
    surroundings: dict[str, str],
) -> None:
    async with started(surroundings, "serve", "--json") as serve:
        ready = await line(serve)
        token = StateDirectory(Path(ready["token"]).parent).stored_token()
        async with EndpointClient(ready["plain"], token or "") as client:
            async with client.events() as frames, asyncio.timeout(PATIENCE_S):
                await anext(frames)
                await client.make_call("6002", "6003")
                while getattr(await anext(frames), "event", "") != "Established":
                    pass
                serve.send_signal(signal.SIGTERM)
                while not (await client.health()).draining:
                    pass
                assert len(await client.calls()) == 1
                serve.send_signal(signal.SIGTERM)
                told = [getattr(frame, "event", "") async for frame in frames]
            assert told[-1] == "CallCleared"
        assert await ended(serve) == 0


async def test_a_terminal_that_is_closed_lets_calls_end(surroundings: dict[str, str]) -> None:
    """SIGHUP ended it as SIGKILL does. Only where `nohup` has it ignored does it go on."""
    terminal, theirs = pty.openpty()
    serve = await asyncio.create_subprocess_exec(
        "env",
        "--default-signal=HUP",  # where `nohup` runs the tests
        "setsid",
        "--ctty",
        *COMMAND,
        "serve",
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=surroundings,
    )
    os.close(theirs)
    try:
        said = ""
        async with asyncio.timeout(PATIENCE_S):
            while "endpoint ready" not in said:
                said += (await asyncio.to_thread(os.read, terminal, 4096)).decode()
        state = StateDirectory(Path(surroundings["AGENT_ENDPOINT_STATE__DIRECTORY"]))
        running = state.running()
        assert running is not None
        async with EndpointClient(running.plain_url, state.stored_token() or "") as client:
            async with client.events() as frames, asyncio.timeout(PATIENCE_S):
                await anext(frames)
                await client.make_call("6002", "6003")
                while getattr(await anext(frames), "event", "") != "Established":
                    pass
                os.close(terminal)
                while not (await client.health()).draining:
                    pass
                (call,) = await client.calls()
                await client.clear("6002", call.call)
                told = [getattr(frame, "event", "") async for frame in frames]
            assert told[-1] == "CallCleared"
        assert await ended(serve) == 0
    finally:
        if serve.returncode is None:
            serve.kill()
            await serve.wait()


async def test_sigterm_with_no_call_ends_at_once_and_leaves_nothing(
    surroundings: dict[str, str],
) -> None:
    async with started(surroundings, "serve", "--json") as serve:
        ready = await line(serve)
        state = StateDirectory(Path(ready["token"]).parent)
        assert state.running() is not None
        serve.send_signal(signal.SIGINT)
        assert await ended(serve) == 0
        assert state.running() is None
        assert serve.stderr is not None
        log = (await serve.stderr.read()).decode()
        told = map(json.loads, log.splitlines())
        # A busy machine is nothing that it leaves.
        events = [each["event"] for each in told if each["logger"] != "endpoint.app.watchdog"]
        assert events == ["endpoint ready", "endpoint stopped"]
        assert (state.stored_token() or "no token") not in log


async def test_dial_says_that_the_endpoint_died_under_it(surroundings: dict[str, str]) -> None:
    async with started(surroundings, "serve", "--json") as serve:
        ready = await line(serve)
        token = StateDirectory(Path(ready["token"]).parent).stored_token()
        async with (
            EndpointClient(ready["plain"], token or "") as client,
            client.events() as frames,
            started(surroundings, "dial", "6003", "--from", "6002", "--json") as dial,
        ):
            async with asyncio.timeout(PATIENCE_S):
                while getattr(await anext(frames), "event", "") != "Established":
                    pass
            serve.kill()
            told = await line(dial)
            assert (told["ok"], told["error"]) == (False, "unreachable")
            assert await ended(dial) == 5


async def test_dial_from_a_device_that_nobody_has_says_so_at_once(
    surroundings: dict[str, str],
) -> None:
    async with started(surroundings, "dial", "6003", "--from", "7000", "--json") as dial:
        told = await line(dial)
        assert (told["ok"], "no device of ours" in told["text"]) == (False, True)
        assert await ended(dial) == 6


# -- registering outside ----------------------------------------------------------------------


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Endpoint]:
    """An embedded sipWsServer that stands for an outside one, where 6001 may register."""
    async with Endpoint(configuration(tmp_path / "outside")) as endpoint:
        realm = endpoint.config.sip.realm
        await add_extension(endpoint.extensions, realm, Extension("6001"), PASSWORD)
        yield endpoint


@pytest.mark.parametrize("over", ["wss", "udp"])
async def test_register_proves_an_account(
    surroundings: dict[str, str], outside: Endpoint, over: str
) -> None:
    host, port = outside.sip_address
    server = outside.wss_url if over == "wss" else f"sip:{host}:{port}"
    command = ("register", "6001", "--server", server, "--password-stdin", "--once", "--json")
    trust = ("--ca", str(outside.certificate.authority))
    async with started(surroundings, *command, *trust, given=PASSWORD) as register:
        told = await line(register)
        assert (told["ok"], told["device"]) == (True, "6001")
        assert await ended(register) == 0
    assert outside.server.targets("6001") == []


async def test_register_once_says_what_is_so_when_it_says_it(
    surroundings: dict[str, str], outside: Endpoint
) -> None:
    host, port = outside.sip_address
    command = ("register", "6001", "--server", f"sip:{host}:{port}", "--password-stdin", "--once")
    async with started(surroundings, *command, given=PASSWORD) as register:
        assert register.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            said = (await register.stdout.readline()).decode()
        assert outside.server.targets("6001") == []
        assert "6001 could register at" in said
        assert await ended(register) == 0


@pytest.mark.soak
async def test_a_demo_that_is_ended_has_not_failed(surroundings: dict[str, str]) -> None:
    async with started(surroundings, "demo") as demo:
        assert demo.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while b"Still up" not in await demo.stdout.readline():
                pass
        demo.send_signal(signal.SIGTERM)
        assert await ended(demo) == 0


@pytest.mark.parametrize(
    ("password", "trusted", "cause"),
    [("wrong", True, "unauthorised"), (PASSWORD, False, "certificate_refused")],
)
async def test_register_says_why_it_failed(
    surroundings: dict[str, str], outside: Endpoint, password: str, trusted: bool, cause: str
) -> None:
    command = ("register", "6001", "--server", outside.wss_url, "--password-stdin", "--json")
    trust = ("--ca", str(outside.certificate.authority)) if trusted else ()
    async with started(surroundings, *command, *trust, given=password) as register:
        told = await line(register)
        assert (told["ok"], told["cause"]) == (False, cause)
        assert trusted or 'add ca = "FILE.pem" to the account' in told["text"]
        assert await ended(register) == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_register_stays_until_it_is_told_to_go(
    surroundings: dict[str, str], outside: Endpoint, number: signal.Signals
) -> None:
    host, port = outside.sip_address
    command = ("register", "6001", "--server", f"sip:{host}:{port}", "--password-stdin", "--json")
    async with started(surroundings, *command, given=PASSWORD) as register:
        assert (await line(register))["ok"]
        assert len(outside.server.targets("6001")) == 1
        register.send_signal(number)
        assert await ended(register) == 130
    assert outside.server.targets("6001") == []


@pytest.mark.parametrize(("said", "code"), [("wrong", 7), (None, 0)])
async def test_what_the_options_of_register_say_goes_before_the_account(
    surroundings: dict[str, str], outside: Endpoint, tmp_path: Path, said: str | None, code: int
) -> None:
    host, port = outside.sip_address
    file = tmp_path / "account.toml"
    file.write_text(
        f'account = [{{ device = "6001", server = "sip:{host}:{port}", password = "{PASSWORD}" }}]'
    )
    command = ["register", "6001", "--once", "--json", "--config", str(file)]
    if said is not None:
        command.append("--password-stdin")
    async with started(surroundings, *command, given=said or "") as register:
        assert (await line(register))["ok"] is (code == 0)
        assert await ended(register) == code


async def test_a_configured_account_is_registered_by_serve(
    outside: Endpoint, tmp_path: Path
) -> None:
    account = AccountSettings.model_validate(
        {
            "device": "6001",
            "server": outside.wss_url,
            "password": PASSWORD,
            "ca": outside.certificate.authority,
        }
    )
    config = configuration(tmp_path / "inside").model_copy(update={"account": [account]})
    async with Endpoint(config) as inside:
        events = inside.controller.subscribe(after=0)
        async with asyncio.timeout(PATIENCE_S):
            told = await anext(events)
        assert type(told.event).__name__ == "DeviceRegistered"
        assert told.event.device == "6001"


@asynccontextmanager
async def slowly(host: str, port: int) -> AsyncIterator[int]:
    """A port that leads to another one half a second later, as a server far away does."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            while octets := await reader.read(65_536):
                writer.write(octets)

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await asyncio.sleep(0.5)
            there, back = await asyncio.open_connection(host, port)
            async with asyncio.TaskGroup() as group:
                group.create_task(carry(reader, back))
                group.create_task(carry(there, writer))

    server = await asyncio.start_server(lead, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("whose", ["device", "trunk"])
async def test_dial_waits_for_its_line_where_it_starts_an_endpoint_itself(
    surroundings: dict[str, str], outside: Endpoint, whose: str
) -> None:
    """6001 has a station too, so it could pick up long before its account is registered."""
    assert outside.sip_tls_address is not None
    async with slowly(*outside.sip_tls_address) as port:
        account = {
            "device": "6001",
            "server": f"sips:127.0.0.1:{port}",
            "password": PASSWORD,
            "ca": str(outside.certificate.authority),
        }
        trunk = {"name": "carrier", "account": "6001"}
        surroundings["AGENT_ENDPOINT_ACCOUNT"] = json.dumps([account])
        surroundings["AGENT_ENDPOINT_TRUNK"] = json.dumps([trunk] if whose == "trunk" else [])
        surroundings["AGENT_ENDPOINT_STATION"] = '[{"device": "6001", "kind": "tone"}]'
        command = ("dial", "6003", "--from", "6001", "--duration", "0.1", "--json")
        async with started(surroundings, *command) as dial:
            told = await line(dial)
            assert told["ok"], told
            assert await ended(dial) == 0


async def test_dial_says_at_once_why_its_account_is_refused(
    surroundings: dict[str, str], outside: Endpoint
) -> None:
    host, port = outside.sip_address
    account = {"device": "6001", "server": f"sip:{host}:{port}", "password": "wrong"}
    surroundings["AGENT_ENDPOINT_ACCOUNT"] = json.dumps([account])
    surroundings["AGENT_ENDPOINT_STATION"] = '[{"device": "6001", "kind": "tone"}]'
    async with started(surroundings, "dial", "6003", "--from", "6001", "--json") as dial:
        told = await line(dial)
        assert (told["ok"], told["cause"]) == (False, "unauthorised")
        assert await ended(dial) == 6


async def test_serve_warns_of_a_server_whose_audio_can_not_come(
    surroundings: dict[str, str],
) -> None:
    far = {"device": "6001", "server": "sip:192.0.2.1", "password": "x"}
    surroundings["AGENT_ENDPOINT_ACCOUNT"] = json.dumps([far])
    async with started(surroundings, "serve", "--json") as serve:
        (warning,) = (await line(serve))["warnings"]
        assert warning.startswith("account 6001: sip:192.0.2.1 is elsewhere, but media is bound")
        assert warning.endswith('set host = "0.0.0.0" at the top of the file')
        serve.send_signal(signal.SIGTERM)
        assert await ended(serve) == 0


async def test_it_says_where_browsers_on_other_machines_find_its_page(
    surroundings: dict[str, str], tmp_path: Path
) -> None:
    """Which the page may use from there, as its own; commands on this machine keep to localhost."""
    leaf, name = trustme.CA().issue_cert("phone.example.com"), "phone.example.com"
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    surroundings |= {
        "AGENT_ENDPOINT_HTTP__HOST": "0.0.0.0",
        "AGENT_ENDPOINT_HTTP__CERTIFICATE": str(chain),
        "AGENT_ENDPOINT_HTTP__KEY": str(key),
    }
    async with started(surroundings, "serve", "--json") as serve:
        ready = await line(serve)
        state = StateDirectory(Path(ready["token"]).parent)
        running = state.running()
        assert running is not None
        port = running.url.rstrip("/").rpartition(":")[2]
        assert running.url == f"https://localhost:{port}/"
        assert ready["page"] == f"https://{name}:{port}/"
        assert ready["wss"] == f"wss://{name}:{port}/sip"
        async with running_client(configuration(state.path)) as client:
            assert (await client.health()).ok
        headers = {"Authorization": f"Bearer {state.stored_token()}"}
        async with aiohttp.ClientSession(headers=headers) as browser:
            for origin, status in ((f"https://{name}:{port}", 200), (f"https://{name}", 403)):
                url = f"{ready['plain']}/api/v1/calls"
                async with browser.get(url, headers={"Origin": origin}) as answer:
                    assert answer.status == status
