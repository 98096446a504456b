"""Subscriptions to our devices over real sockets: RFC 6665, 3856, 4235, 3842."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from signaling.server import SipServer, SipServerConfig
from signaling.sip.event_documents import (
    DialogState,
    MessageSummary,
    Package,
    PhoneDialog,
    Presence,
)
from signaling.sip.message import Request, Response
from signaling.user_agent import UserAgentConfig
from signaling.watchers import WatcherLimits
from tests.integration.signaling.raw import RawClient
from tests.integration.signaling.stage import REALM, USERS, StaticCredentials

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]


@dataclass
class States:
    """What the test says is true."""

    calls: dict[str, list[PhoneDialog]] = field(default_factory=dict)
    reachable: set[str] = field(default_factory=set)

    async def knows(self, user: str) -> bool:
        return user in USERS

    def presence(self, user: str) -> Presence:
        return Presence(user in self.reachable, bool(self.calls.get(user)))

    def dialogs(self, user: str) -> Sequence[PhoneDialog]:
        return self.calls.get(user, [])

    def messages(self, user: str) -> MessageSummary:
        return MessageSummary()


@dataclass
class Office:
    server: SipServer
    states: States
    phone: RawClient
    """Of 6001."""

    async def subscribe(
        self,
        event: str,
        *headers: str,
        resource: str = "6002",
        expires: int | None = 600,
        user: str | None = None,
    ) -> Response:
        lines = (f"Event: {event}", *headers)
        if expires is not None:
            lines = (*lines, f"Expires: {expires}")
        return await self.phone.authorised(
            "SUBSCRIBE",
            "6001",
            USERS["6001"],
            uri=f"sip:{resource}@127.0.0.1",
            user=user,
            to=resource,
            headers=lines,
        )

    async def notified(self, status: int = 200) -> Request:
        return await self.phone.asked("NOTIFY", status)

    def again(self, notify: Request, expires: int) -> bytes:
        """SUBSCRIBE in the dialog."""
        return self.phone.request(
            "SUBSCRIBE",
            uri=str(notify.contacts[0].uri),  # type: ignore[union-attr, index] # no STAR
            user="6001",
            to="6002",
            call_id=notify.call_id,
            from_tag=notify.to.tag,
            to_tag=notify.from_.tag,
            headers=(f"Event: {notify.headers.get('Event')}", f"Expires: {expires}"),
        )


@pytest.fixture
def limits() -> WatcherLimits:
    return WatcherLimits()


@pytest.fixture
async def office(limits: WatcherLimits) -> AsyncIterator[Office]:
    states = States()
    agent = UserAgentConfig(close_timeout_s=0.1)  # the last NOTIFY finds the phone gone
    config = SipServerConfig(realm=REALM, watchers=limits, user_agent=agent)
    async with SipServer(config, StaticCredentials()) as server:
        server.publish(states)
        _, port = await server.listen_udp("127.0.0.1", 0)
        async with RawClient(port) as phone:
            yield Office(server, states, phone)


def state(notify: Request) -> str:
    return notify.headers.get("Subscription-State") or ""


# -- granted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "resource", "said"),
    [
        (Package.PRESENCE, "6002", b"<basic>closed</basic>"),
        (Package.DIALOG, "6002", b'version="0" state="full"'),
        (Package.MESSAGE_SUMMARY, "6001", b"Messages-Waiting: no\r\n"),
    ],
)
async def test_who_subscribes_is_told_the_state_at_once(
    office: Office, package: Package, resource: str, said: bytes
) -> None:
    granted = await office.subscribe(package, resource=resource)
    assert (granted.status, granted.expires) == (200, 600)
    notify = await office.notified()
    assert notify.headers.get("Event") == package
    assert state(notify) == "active;expires=600"
    assert notify.content_type == package.content_type
    assert said in notify.body
    assert f"sip:{resource}@127.0.0.1".encode() in notify.body
    assert office.server.watcher_count == 1


async def test_what_changes_is_told_as_it_is_then(office: Office) -> None:
    await office.subscribe("dialog")
    await office.notified()
    for dialog_state in DialogState:
        office.states.calls["6002"] = [PhoneDialog("c-1", dialog_state, False)]
        office.server.changed(["6002"])
        assert f"<state>{dialog_state}</state>".encode() in (await office.notified()).body
    office.states.calls.clear()
    office.server.changed(["6002"])
    last = await office.notified()
    assert b'version="4"' in last.body
    assert b"<dialog " not in last.body


async def test_of_what_changes_meanwhile_only_the_last_is_told(office: Office) -> None:
    """One NOTIFY at a time; each holds the whole state."""
    await office.subscribe("presence")  # its first NOTIFY is not answered yet
    office.states.reachable.add("6002")
    for _ in range(3):
        office.server.changed(["6002"])
    assert b"<basic>closed</basic>" in (await office.notified()).body
    assert b"<basic>open</basic>" in (await office.notified()).body
    assert await office.phone.is_answered()
    assert office.phone.recorder.messages.empty()


async def test_others_and_other_packages_are_not_told(office: Office) -> None:
    await office.subscribe("presence")
    await office.notified()
    office.server.changed(["6001"])
    office.server.changed(["6002"], [Package.DIALOG])
    assert await office.phone.is_answered()
    assert office.phone.recorder.messages.empty()


async def test_a_refresh_tells_the_state_anew(office: Office) -> None:
    await office.subscribe("presence")
    notify = await office.notified()
    again = await office.phone.ask(office.again(notify, 1200))
    assert (again.status, again.expires) == (200, 1200)
    assert state(await office.notified()) == "active;expires=1200"
    assert office.server.watcher_count == 1


async def test_who_wants_no_more_is_told_for_the_last_time(office: Office) -> None:
    await office.subscribe("presence")
    notify = await office.notified()
    assert (await office.phone.ask(office.again(notify, 0))).status == 200
    assert state(await office.notified()) == "terminated;reason=timeout"
    assert await office.phone.is_answered()
    assert office.server.watcher_count == 0
    assert (await office.phone.ask(office.again(notify, 600))).status == 481


async def test_a_state_may_be_fetched_without_a_subscription(office: Office) -> None:
    """RFC 6665 §4.4.3: Expires 0."""
    assert (await office.subscribe("presence", expires=0)).expires == 0
    notify = await office.notified()
    assert state(notify) == "terminated;reason=timeout"
    assert b"<basic>closed</basic>" in notify.body
    assert await office.phone.is_answered()
    assert office.server.watcher_count == 0


@pytest.mark.parametrize("status", [481, 404, 500])
async def test_who_does_not_want_a_notify_gets_no_more(office: Office, status: int) -> None:
    await office.subscribe("presence")
    await office.notified(status)
    assert await office.phone.is_answered()
    assert office.server.watcher_count == 0


async def test_when_the_server_stops_everybody_is_told(office: Office) -> None:
    await office.subscribe("presence")
    await office.notified()
    office.server._watchers.close(office.server.user_agent.now())
    office.server.user_agent.drain()
    assert state(await office.notified()) == "terminated;reason=deactivated"


@pytest.mark.parametrize(("asked", "granted"), [(None, 3600), (86_400, 3600), (60, 60)])
async def test_no_subscription_is_longer_than_an_hour(
    office: Office, asked: int | None, granted: int
) -> None:
    assert (await office.subscribe("presence", expires=asked)).expires == granted


# -- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "resource", "headers", "expires", "status"),
    [
        ("conference", "6002", (), 600, 489),
        ("presence.winfo", "6002", (), 600, 489),
        ("presence", "6999", (), 600, 404),
        ("message-summary", "6002", (), 600, 403),
        ("presence", "6002", ("Accept: application/xpidf+xml",), 600, 406),
        ("presence", "6002", ("Accept: <",), 600, 406),
        ("presence", "6002", ("Accept: application/*",), 600, 200),
        ("presence", "6002", (), 59, 423),
    ],
)
async def test_what_can_not_be_granted_is_refused(
    office: Office,
    event: str,
    resource: str,
    headers: tuple[str, ...],
    expires: int,
    status: int,
) -> None:
    answer = await office.subscribe(event, *headers, resource=resource, expires=expires)
    assert answer.status == status
    if status == 489:
        assert answer.headers.get("Allow-Events") == "presence, dialog, message-summary"
    if status == 423:
        assert answer.headers.get("Min-Expires") == "60"
    assert office.server.watcher_count == (status == 200)


async def test_s1_without_digest_nobody_is_told_anything(office: Office) -> None:
    """CVE-2021-41157."""
    headers = ("Event: dialog", "Expires: 600")
    for uri in ("sip:6002@127.0.0.1", "sip:127.0.0.1"):
        request = office.phone.request("SUBSCRIBE", uri=uri, headers=headers)
        assert (await office.phone.ask(request)).status == 401
    assert await office.phone.is_answered()
    assert office.phone.recorder.messages.empty()
    assert office.server.watcher_count == 0


async def test_s6_in_another_name_nobody_is_told_anything(office: Office) -> None:
    assert (await office.subscribe("dialog", user="6002")).status == 403
    assert office.server.watcher_count == 0


class TestLimits:
    @pytest.fixture
    def limits(self) -> WatcherLimits:
        return WatcherLimits(per_subscriber=2, total=2)

    async def test_a_subscriber_has_only_so_many(self, office: Office) -> None:
        for _ in range(2):
            assert (await office.subscribe("presence")).status == 200
            notify = await office.notified()
        assert (await office.subscribe("presence")).status == 403
        await office.phone.ask(office.again(notify, 0))
        await office.notified()
        assert (await office.subscribe("presence")).status == 200
