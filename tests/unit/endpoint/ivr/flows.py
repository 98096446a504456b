"""Flows for tests."""

from __future__ import annotations

from pathlib import Path

from endpoint.ivr.flow import Flow
from endpoint.ivr.library import Place
from endpoint.ivr.reading import FlowError, read

PLACE = Place(Path("test.toml"))

EVERY_KIND = """
title = "Every kind of node"
start = "hello"
expects = ["OrderID"]
variables = { tries = "0" }
webhooks = ["http://127.0.0.1:9/"]

[node.hello]
kind = "play"
prompt = ["welcome", { ms = 100 }, { digits = "{OrderID}" }, { number = "12" }]
next = "menu"
barge_in = true

[node.menu]
kind = "menu"
prompt = { tone_hz = [440], ms = 200 }
invalid_prompt = "invalid"
choices = { 1 = "pin", 2 = "ask", 3 = "queue", 4 = "away", 5 = "back", 0 = "end" }
into = "choice"
timeout_s = 2
tries = 2
no_input = "end"
invalid = "away"

[node.pin]
kind = "collect"
prompt = "enter_password"
into = "pin"
secret = true
min_length = 4
max_length = 6
first_digit_s = 4
inter_digit_s = 2
tries = 2
no_input = "menu2"
invalid = "end"
next = "check"

[node.check]
kind = "verify"
secret = "pin"
hash = "{OrderID}"
tries = 3
again = "pin"
next = "keep"
wrong = "end"

[node.keep]
kind = "set"
values = { Checked = "{choice}{reason}" }
next = "which"

[node.which]
kind = "branch"
on = "{Checked}"
cases = { 1 = "ask" }
otherwise = "back"

[node.ask]
kind = "webhook"
url = "http://127.0.0.1:9/{OrderID}"
send = ["OrderID", "choice"]
answers = { tier = "tier" }
timeout_s = 2
next = "queue"
on_failure = "end"

[node.menu2]
kind = "collect"
prompt = "enter_number"
barge_in = false
terminator = ""
into = "number"
max_length = 3
no_input = "end"
invalid = "end"
next = "menu"

[node.queue]
kind = "queue"
skill = "100{choice}"
nobody = "away"
timeout = "menu"
max_wait_s = 30

[node.away]
kind = "transfer"
to = "6001"
failed = "back"

[node.back]
kind = "return"

[node.end]
kind = "hangup"
"""


def flow(text: str) -> Flow:
    return read(text, "test.toml", PLACE.find)


def mistakes(text: str) -> list[str]:
    """What is said of a flow, without the name of its file; nothing where it is right."""
    try:
        flow(text)
    except FlowError as error:
        return [str(mistake).removeprefix("test.toml:") for mistake in error.mistakes]
    return []
