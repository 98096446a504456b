"""A call in a flow: what it does by what happens, and that every way ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoint.ivr import model as ivr
from endpoint.ivr.flow import KEYS, LONGEST_TEXT, Sound
from endpoint.ivr.interpreter import MOST_VISITS, OWED_S, begin, step
from endpoint.ivr.library import Place, file_of, load, shipped
from endpoint.ivr.model import Phase

from .flows import EVERY_KIND, flow

pytestmark = pytest.mark.unit


@dataclass
class Caller:
    """Drives a call; time is a number."""

    state: ivr.State
    now: float = 0.0
    actions: list[ivr.Action] = field(default_factory=list)
    """Of the last step."""

    def happens(self, event: ivr.Input) -> None:
        self.state, actions = step(self.state, event, self.now)
        self.actions = list(actions)

    def press(self, keys: str) -> None:
        for key in keys:
            self.happens(ivr.KeyPressed(key))

    def hears_it_out(self) -> None:
        self.happens(ivr.PromptEnded(self.state.ticket))

    def waits(self, seconds: float) -> None:
        self.now += seconds
        self.happens(ivr.TimePassed())

    def at(self) -> tuple[str, Phase]:
        return self.state.node, self.state.phase

    def results(self) -> list[str]:
        return [f"{each.node}:{each.result}" for each in self.state.visits]

    def of(self, kind: type[ivr.Action]) -> list[ivr.Action]:
        return [each for each in self.actions if isinstance(each, kind)]


def caller(**variables: str) -> Caller:
    one = Caller(begin(flow(EVERY_KIND), variables))
    one.happens(ivr.Begun())
    return one


def at_menu(**variables: str) -> Caller:
    one = caller(**variables)
    one.hears_it_out()
    assert one.at() == ("menu", Phase.PLAYING)
    return one


def test_a_prompt_is_played_with_the_values_of_its_variables() -> None:
    one = caller(OrderID="4711", unknown="x")
    (play,) = one.of(ivr.PlayPrompt)
    assert isinstance(play, ivr.PlayPrompt)
    assert [sound.digits or sound.file or sound.number for sound in play.sounds] == [
        "welcome",
        "",
        "4711",
        "12",
    ]
    assert "unknown" not in one.state.variables


def test_a_key_chooses_and_ends_the_prompt() -> None:
    one = at_menu()
    one.press("4")
    assert one.at() == ("away", Phase.LEAVING)
    assert one.actions == [
        ivr.StopPrompt(),
        ivr.Visited(ivr.Visit("menu", "menu", 0.0, "4")),
        ivr.Visited(ivr.Visit("away", "transfer", 0.0)),
        ivr.TransferTo(one.state.ticket, "6001"),
    ]
    assert one.state.variables["choice"] == "4"


def test_no_key_is_tried_again_and_then_goes_its_way() -> None:
    one = at_menu()
    one.hears_it_out()
    one.waits(1.9)
    assert one.at() == ("menu", Phase.LISTENING)
    one.waits(0.2)
    assert one.at() == ("menu", Phase.PLAYING)
    one.hears_it_out()
    one.waits(2)
    assert one.state.phase is Phase.OVER
    assert one.results()[-2:] == ["menu:no_input", "end:"]
    assert one.actions[-1] == ivr.EndCall()


def test_a_wrong_key_is_said_and_tried_again_and_then_goes_its_way() -> None:
    one = at_menu()
    one.press("9")
    (play,) = one.of(ivr.PlayPrompt)
    assert isinstance(play, ivr.PlayPrompt)
    assert [sound.file for sound in play.sounds] == ["invalid", ""]
    one.press("8")
    assert one.at() == ("away", Phase.LEAVING)
    assert "menu:invalid" in one.results()


def test_keys_that_come_early_are_taken_by_the_nodes_that_ask_for_them() -> None:
    one = caller()
    one.press("1")
    assert one.at() == ("pin", Phase.PLAYING)
    one = caller()
    one.press("11234#")
    assert one.at() == ("check", Phase.ASKING)


@pytest.mark.parametrize(
    ("keys", "wait_s", "secret"),
    [("1234#", 0.0, "1234"), ("123456", 0.0, "123456"), ("12345", 2.0, "12345")],
    ids=["terminator", "greatest length", "pause"],
)
def test_what_is_keyed_in_is_complete(keys: str, wait_s: float, secret: str) -> None:
    one = at_menu(OrderID="hash")
    one.press("1")
    one.press(keys)
    if wait_s:
        assert one.at() == ("pin", Phase.LISTENING)
        one.waits(wait_s)
    (compare,) = one.of(ivr.CompareHash)
    assert compare == ivr.CompareHash(one.state.ticket, secret, "hash", "", "")
    # Nothing that is shown of it, or kept of the way, tells it.
    assert secret not in repr((one.state, one.actions))
    assert one.results()[-2] == f"pin:{'•' * len(secret)}"


def test_a_terminator_after_the_greatest_length_is_no_key_of_the_next_node() -> None:
    one = at_menu()
    one.press("1")
    one.press("123456#")
    assert one.state.ahead == ""
    one.happens(ivr.Answered(one.state.ticket, right=False))
    assert one.at() == ("pin", Phase.PLAYING)
    one.press("#")
    assert one.state.tried == 1


def test_too_short_and_nothing_at_all_are_told_apart() -> None:
    one = at_menu()
    one.press("1")
    one.press("12#")
    assert one.at() == ("pin", Phase.PLAYING)
    one.press("#")
    assert one.state.phase is Phase.OVER
    assert one.results()[-2:] == ["pin:too_short", "end:"]
    one = at_menu()
    one.press("1")
    for _ in range(2):
        one.hears_it_out()
        one.waits(4)
    assert one.at() == ("menu2", Phase.PLAYING)


def test_keys_during_a_prompt_that_does_not_take_them_count_for_nothing() -> None:
    one = at_menu()
    one.press("1")
    for _ in range(2):
        one.hears_it_out()
        one.waits(4)
    one.press("7")
    assert one.at() == ("menu2", Phase.PLAYING)
    assert one.state.keys == ""
    one.hears_it_out()
    one.press("#*1")
    assert one.state.variables["number"] == "#*1"


def test_a_secret_is_verified_three_times() -> None:
    one = at_menu()
    one.press("1")
    for _ in range(2):
        one.press("1234#")
        one.happens(ivr.Answered(one.state.ticket, right=False))
        assert one.at() == ("pin", Phase.PLAYING)
        assert one.state.secrets == {}
    one.press("1234#")
    one.happens(ivr.Answered(one.state.ticket, right=False))
    assert one.state.phase is Phase.OVER
    assert one.results()[-2:] == ["check:wrong", "end:"]


def test_what_is_set_is_given_to_the_call_and_branched_by() -> None:
    one = at_menu()
    one.press("1")
    one.press("1234#")
    one.happens(ivr.Answered(one.state.ticket))
    assert one.of(ivr.GiveData) == [ivr.GiveData({"Checked": "1"})]
    assert one.at() == ("ask", Phase.ASKING)
    assert one.results()[-3:] == ["keep:", "which:1", "ask:"]


def test_a_webhook_answers() -> None:
    one = at_menu(OrderID="77")
    one.press("2")
    (asked,) = one.of(ivr.AskWebhook)
    assert isinstance(asked, ivr.AskWebhook)
    assert (asked.url, asked.body) == ("http://127.0.0.1:9/77", {"OrderID": "77", "choice": "2"})
    one.happens(ivr.Answered(asked.ticket, {"tier": "gold"}))
    assert one.at() == ("queue", Phase.QUEUED)
    assert one.of(ivr.EnterQueue) == [ivr.EnterQueue(one.state.ticket, "1002", None, "")]


def test_a_webhook_that_is_down_or_late_goes_its_way() -> None:
    one = at_menu()
    one.press("2")
    one.happens(ivr.Failed(one.state.ticket, "unreachable"))
    assert one.results()[-2:] == ["ask:unreachable", "end:"]
    one = at_menu()
    one.press("2")
    ticket = one.state.ticket
    one.waits(2 + OWED_S)
    assert one.results()[-2:] == ["ask:timed_out", "end:"]
    one.happens(ivr.Answered(ticket, {"tier": "gold"}))
    assert one.actions == []


def test_a_queue_is_left_when_time_is_up_or_nobody_is_there() -> None:
    one = at_menu()
    one.press("3")
    one.waits(30)
    assert one.of(ivr.LeaveQueue)
    assert one.at() == ("menu", Phase.PLAYING)
    one.press("3")
    one.happens(ivr.Failed(one.state.ticket, "nobody"))
    assert one.at() == ("away", Phase.LEAVING)
    one.happens(ivr.CallEnded())
    assert one.state.phase is Phase.OVER


def test_a_transfer_and_a_return_that_come_to_nothing_go_their_ways() -> None:
    one = at_menu()
    one.press("4")
    one.happens(ivr.Failed(one.state.ticket, "busy"))
    assert one.of(ivr.ReturnCall)
    one.happens(ivr.Failed(one.state.ticket, "nobody"))
    assert one.results()[-2:] == ["away:busy", "back:nobody"]
    assert one.actions[-1] == ivr.EndCall()


def test_a_call_that_hangs_up_ends_and_keeps_no_secret() -> None:
    one = at_menu()
    one.press("1")
    one.press("12")
    one.happens(ivr.CallEnded())
    assert one.results()[-1] == "pin:"
    assert one.state.phase is Phase.OVER
    assert one.state.keys == ""
    one.press("3")
    assert one.actions == []


def test_a_survey_keeps_the_score_and_thanks() -> None:
    one = Caller(begin(load(Place(file_of("survey"))), {}))
    one.happens(ivr.Begun())
    one.press("7")
    one.press("4")
    assert one.of(ivr.GiveData) == [ivr.GiveData({"SurveyScore": "4"})]
    one.hears_it_out()
    assert one.results() == ["rate:4", "keep:", "thanks:", "end:"]
    assert one.actions[-1] == ivr.EndCall()


def test_a_password_is_that_of_the_customer_or_else_of_the_number_that_calls() -> None:
    for data, key in (({"CustomerID": "77"}, "77"), ({}, "10086")):
        one = Caller(begin(load(Place(file_of("password"))), {"caller": "10086", **data}))
        one.happens(ivr.Begun())
        one.press("4711#")
        (compare,) = one.of(ivr.CompareHash)
        assert isinstance(compare, ivr.CompareHash)
        assert (compare.file, compare.key) == ("passwords.toml", key)
        one.happens(ivr.Answered(one.state.ticket))
        one.hears_it_out()
        assert one.of(ivr.ReturnCall)
        assert one.state.variables["PasswordCheck"] == "right"


def test_who_waits_too_long_is_asked_whether_he_waits_on() -> None:
    one = Caller(begin(load(Place(file_of("welcome"))), {"Skill": "1002"}))
    one.happens(ivr.Begun())
    one.hears_it_out()
    assert one.of(ivr.EnterQueue) == [ivr.EnterQueue(one.state.ticket, "1002", None, "")]
    one.waits(120)
    assert one.at() == ("still_busy", Phase.PLAYING)
    one.press("1")
    assert one.at() == ("wait", Phase.QUEUED)
    one.happens(ivr.Failed(one.state.ticket, "nobody"))
    assert one.at() == ("nobody", Phase.PLAYING)


def test_a_distributor_keys_his_number_in_and_waits_for_his_skill() -> None:
    one = Caller(begin(load(Place(file_of("distributors"))), {}))
    one.happens(ivr.Begun())
    one.press("3")
    one.press("815#")
    assert one.of(ivr.GiveData) == [ivr.GiveData({"DistributorID": "815"})]
    one.hears_it_out()
    one.press("2")
    assert one.of(ivr.EnterQueue) == [ivr.EnterQueue(one.state.ticket, "1003", None, "")]


def test_a_call_visits_no_more_than_so_many_nodes() -> None:
    one = at_menu()
    last: list[ivr.Action] = []
    while one.state.phase is not Phase.OVER:
        one.press("3")
        last = one.actions
        one.waits(30)
    assert len(one.state.visits) == MOST_VISITS
    assert (one.actions or last)[-1] == ivr.EndCall()


HAPPENINGS = st.one_of(
    st.sampled_from(KEYS).map(lambda key: ("key", key)),
    st.sampled_from(
        [
            ("prompt", ""),
            ("time", ""),
            ("answer", "right"),
            ("answer", "wrong"),
            ("fail", ""),
            ("late", ""),
        ]
    ),
)


FLOWS = {
    "every kind": flow(EVERY_KIND),
    **{name: load(Place(file_of(name))) for name in shipped()},
}


@pytest.mark.parametrize("name", FLOWS)
@settings(max_examples=40, deadline=None)
@given(happenings=st.lists(HAPPENINGS, max_size=60))
def test_a_call_is_never_stuck_and_always_ends(
    name: str, happenings: list[tuple[str, str]]
) -> None:
    """Whatever happens in whatever order; then who does nothing more is out soon."""
    one = Caller(begin(FLOWS[name], {"OrderID": "5"}))
    one.happens(ivr.Begun())
    for kind, word in happenings:
        before = one.state
        match kind:
            case "key":
                one.press(word)
            case "prompt":
                one.hears_it_out()
            case "time":
                one.waits(max(0.0, (one.state.deadline or one.now) - one.now))
            case "answer":
                one.happens(ivr.Answered(one.state.ticket, right=word == "right"))
            case "fail":
                one.happens(ivr.Failed(one.state.ticket, "failed"))
            case _:
                one.happens(ivr.Failed(one.state.ticket - 1, "late"))
                assert one.state == before
        is_over = one.state.phase is Phase.OVER
        assert is_over == (one.state.deadline is None and one.state.phase is Phase.OVER)
        # Where nothing is owed, time goes on by itself.
        owed = one.state.phase in (Phase.PLAYING, Phase.LEAVING)
        assert is_over or owed or one.state.deadline is not None
    for _ in range(40):
        if one.state.phase is Phase.OVER:
            break
        match one.state.phase:
            case Phase.PLAYING:
                one.hears_it_out()
            case Phase.LEAVING:
                one.happens(ivr.Failed(one.state.ticket, "no_answer"))
            case _:
                one.waits(60)
    assert one.state.phase is Phase.OVER
    assert replace(one.state, visits=()) == replace(one.state, visits=(), keys="", secrets={})


def test_a_text_that_doubles_in_a_circle_stays_of_a_size() -> None:
    text = """
start = "more"
variables = { all = "12345678" }
[node.more]
kind = "set"
values = { all = "{all}{all}" }
next = "ask"
[node.ask]
kind = "menu"
prompt = { ms = 100 }
choices = { 1 = "more" }
no_input = "end"
invalid = "end"
[node.end]
kind = "hangup"
"""
    one = Caller(begin(flow(text), {}))
    one.happens(ivr.Begun())
    one.press("1" * 40)
    assert one.at() == ("ask", Phase.PLAYING)
    assert len(one.state.variables["all"]) == LONGEST_TEXT


def test_a_key_that_a_menu_does_not_take_is_meant_for_no_later_one() -> None:
    """It ended a prompt; the menu after that wants to be heard, the one behind it does not."""
    text = """
start = "hello"
[node.hello]
kind = "play"
prompt = { ms = 100 }
barge_in = true
next = "heard"
[node.heard]
kind = "menu"
prompt = { ms = 100 }
barge_in = false
choices = { 1 = "end", 2 = "choice" }
no_input = "end"
invalid = "end"
[node.choice]
kind = "menu"
prompt = { ms = 100 }
choices = { 1 = "end", 2 = "heard" }
no_input = "end"
invalid = "end"
[node.end]
kind = "hangup"
"""
    one = Caller(begin(flow(text), {}))
    one.happens(ivr.Begun())
    one.press("1")
    assert one.at() == ("heard", Phase.PLAYING)
    one.hears_it_out()
    one.press("2")
    assert one.at() == ("choice", Phase.PLAYING)


QUEUE = """
start = "queue"
variables = { urgent = "7" }

[node.queue]
kind = "queue"
queue = "sales"
priority = "{urgent}"
nobody = "end"
timeout = "end"
overflow = "crowded"
call_back = "promised"
call_back_key = "5"
music = "queue_wait"

[node.crowded]
kind = "play"
prompt = "nobody"
next = "end"

[node.promised]
kind = "play"
prompt = "call_back"
next = "end"

[node.end]
kind = "hangup"
"""


def in_queue(text: str = QUEUE) -> Caller:
    one = Caller(begin(flow(text), {"caller": "10086"}))
    one.happens(ivr.Begun())
    assert one.at() == ("queue", Phase.QUEUED)
    return one


@pytest.mark.parametrize(("said", "meant"), [("7", 7), ("0", 0), ("10", None), ("", None)])
def test_the_priority_is_a_digit_or_that_of_the_queue(said: str, meant: int | None) -> None:
    one = in_queue(QUEUE.replace('"7"', f'"{said}"'))
    assert one.of(ivr.EnterQueue) == [
        ivr.EnterQueue(one.state.ticket, "sales", meant, "queue_wait")
    ]


def test_what_the_queue_announces_is_spoken_and_then_music_again() -> None:
    one = in_queue()
    for wait, parts in (
        ("", ["queue_position", "3"]),
        ("2", ["queue_position", "3", "queue_wait", "2"]),
    ):
        one.happens(ivr.Announced(one.state.ticket, 3, wait))
        (play,) = one.of(ivr.PlayPrompt)
        assert isinstance(play, ivr.PlayPrompt)
        assert [each.file or each.number for each in play.sounds if not each.ms] == parts
        assert one.at() == ("queue", Phase.QUEUED)
        one.hears_it_out()
        assert one.actions == [ivr.ResumeMusic()]
    own = in_queue(QUEUE.replace("music =", 'announce = { digits = "{position}" }\nmusic ='))
    own.happens(ivr.Announced(own.state.ticket, 3, "2"))
    assert own.of(ivr.PlayPrompt) == [
        ivr.PlayPrompt(own.state.ticket, (Sound(digits="3"),)),
    ]
    own.happens(ivr.Announced(own.state.ticket - 1, 4, "2"))
    assert own.actions == []


def test_who_asks_to_be_called_back_goes_on_when_that_is_promised() -> None:
    one = in_queue()
    one.press("4")
    assert one.actions == []
    one.press("5")
    assert one.actions == [ivr.AskForCallBack(one.state.ticket, "10086")]
    assert one.at() == ("queue", Phase.QUEUED)
    one.happens(ivr.CallBackKept(one.state.ticket))
    assert one.at() == ("promised", Phase.PLAYING)
    assert one.results()[0] == "queue:call_back"
    none = in_queue(
        QUEUE.replace('call_back = "promised"\n', "")
        .replace("[node.promised]", "[node.p]")
        .replace('overflow = "crowded"', 'overflow = "p"')
        .replace("[node.crowded]", "[node.c]")
        .replace('prompt = "call_back"\nnext = "end"', 'prompt = "call_back"\nnext = "c"')
    )
    none.press("5")
    assert none.actions == []


def test_a_queue_that_lets_a_call_go_on_to_a_device() -> None:
    one = in_queue()
    one.happens(ivr.Diverted(one.state.ticket, "6009"))
    assert one.of(ivr.TransferTo) == [ivr.TransferTo(one.state.ticket, "6009")]
    assert one.results() == ["queue:overflow"]
    one.waits(1000)  # nothing is due any more
    assert one.at() == ("queue", Phase.LEAVING)
    one.happens(ivr.Failed(one.state.ticket, "busy"))
    assert one.state.phase is Phase.OVER


@pytest.mark.parametrize(
    ("reason", "node"), [("full", "crowded"), ("overflow", "crowded"), ("closed", "end")]
)
def test_where_it_is_too_crowded_there_is_a_way_of_its_own(reason: str, node: str) -> None:
    one = in_queue()
    one.happens(ivr.Failed(one.state.ticket, reason))
    assert one.state.node == node
    other = in_queue(
        QUEUE.replace('overflow = "crowded"', 'overflow = ""').replace(
            'prompt = "call_back"\nnext = "end"', 'prompt = "call_back"\nnext = "crowded"'
        )
    )
    other.happens(ivr.Failed(other.state.ticket, reason))
    assert other.state.node == "end"
