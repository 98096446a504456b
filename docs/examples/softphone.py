"""A soft phone in the words of BasicCall's script: an agent logs on, dials, holds and hangs up.

`python softphone.py AGENT DEVICE NUMBER [ws://127.0.0.1:8887/ [SOFTPHONECODE]]`
(docs/reference/basiccall.md). It stops at the first thing that is refused.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp


class SoftPhone:
    """What the script sends, and what it is told, as lines."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, agent: str, device: str) -> None:
        self._socket = socket
        self._agent = agent
        self._device = device
        self._delegator_id = ""

    async def send(self, command: str, **params: str) -> None:
        """A command of BasicCall's."""
        frame = {
            "command": command,
            "objectClass": "SPCommand",
            "delegatorId": self._delegator_id,
            "ins": self._device,
            "params": {"agentId": self._agent, **params},
        }
        await self._socket.send_json(frame)

    async def until(self, name: str, state: str | None = None) -> None:
        """Show all that comes, up to this one."""
        async for message in self._socket:
            frame: dict[str, Any] = json.loads(message.data)
            found = frame.get("event") or frame["command"]
            infos, datas = frame["agentInfos"], frame.get("datas", {})
            self._delegator_id = datas.get("delegatorId", self._delegator_id)
            code = frame["errorCode"]
            shown = f"state {infos['agentState']}" if "agentState" in infos else ""
            print(f"{found:20} {code:14} {shown} {frame['errorDesc']}".rstrip())
            if frame["errorCode"] not in ("", "Succ"):
                raise SystemExit(1)
            if found == name and state in (None, infos.get("agentState")):
                return
        raise SystemExit("the endpoint is gone")


async def main(
    agent: str, device: str, number: str, url: str = "ws://127.0.0.1:8887/", code: str = ""
) -> None:
    """From log-on to log-off."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        phone = SoftPhone(socket, agent, device)
        await phone.send("Init", agentName="")
        await phone.until("SettingsNotify")
        await phone.send("Logon", agentName="", agentWorkMode="0", softPhoneCode=code)
        await phone.until("WorkModeChange")
        await phone.send("Dial", phoneNum=number)
        await phone.until("StateChange", "6")
        await phone.send("Hold")
        await phone.until("StateChange", "7")
        await phone.send("FetchHold")
        await phone.until("StateChange", "6")
        await phone.send("DropCall")
        await phone.until("StateChange", "3")
        await phone.send("Logoff")
        await phone.until("StateChange", "0")


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except aiohttp.WSServerHandshakeError as error:
        raise SystemExit(f"not let in: {error.status}") from None
    except aiohttp.ClientError as error:
        raise SystemExit(f"can't connect: {error}") from None
