"""REFERs of far ends: which are asked of call control, and what the far end is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from endpoint.legs.base import DeviceId, LegEvent, LegId, TransferAsked
from endpoint.legs.line import NO_TRANSFERS, OF_OUR_PHONES, Transfers
from endpoint.legs.referrals import Referrals
from signaling.sip.replaces import Replaces
from signaling.sip.uri import Uri
from signaling.user_agent import Referred

pytestmark = pytest.mark.unit

LEG, OTHER = LegId("a"), LegId("b")


@dataclass
class FakeReferred:
    """A REFER that remembers what it was answered."""

    refer_to: Uri = field(default_factory=lambda: Uri("sip", "6002", host="h"))
    replaces: Replaces | None = None
    replaced: Any = None
    said: list[str] = field(default_factory=list)

    def accept(self) -> None:
        self.said.append("202")

    def refuse(self, status: int, reason: str | None = None) -> None:
        self.said.append(f"refused {status}")

    def progress(self, status: int) -> None:
        self.said.append(f"notify {status}")

    def complete(self, status: int, reason: str = "") -> None:
        self.said.append(f"last notify {status}")


@dataclass
class Table:
    """Referrals, what they tell, and which legs there are."""

    told: list[LegEvent] = field(default_factory=list)
    legs: dict[str, LegId] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.referrals = Referrals(
            self.told.append, lambda session: self.legs.get(cast("Any", session))
        )

    def ask(self, referred: FakeReferred, transfers: Transfers = OF_OUR_PHONES) -> FakeReferred:
        self.referrals.ask(LEG, cast("Referred", referred), transfers)
        return referred

    def tell(self, *statuses: int) -> None:
        for status in statuses:
            self.referrals.tell(LEG, status)


@pytest.fixture
def table() -> Table:
    return Table()


def test_a_refer_is_asked_of_call_control_and_its_outcome_told(table: Table) -> None:
    referred = table.ask(FakeReferred())
    assert table.told == [TransferAsked(LEG, DeviceId("6002"))]
    assert referred.said == []
    table.tell(100, 180, 200)
    assert referred.said == ["202", "notify 180", "last notify 200"]


def test_what_call_control_refuses_is_refused(table: Table) -> None:
    referred = table.ask(FakeReferred())
    table.tell(488)
    assert referred.said == ["refused 488"]


def test_a_failure_after_the_202_is_told_by_notify(table: Table) -> None:
    referred = table.ask(FakeReferred())
    table.tell(100, 486)
    assert referred.said == ["202", "last notify 486"]
    table.tell(200)
    assert len(referred.said) == 2


def test_what_is_done_at_once_is_accepted_first(table: Table) -> None:
    referred = table.ask(FakeReferred())
    table.tell(200)
    assert referred.said == ["202", "last notify 200"]


def test_s12_a_refer_of_an_outside_caller_is_refused(table: Table) -> None:
    referred = table.ask(FakeReferred(), NO_TRANSFERS)
    assert referred.said == ["refused 603"]
    assert table.told == []


def test_an_outside_caller_whose_line_lets_it_is_told_from_a_phone_of_ours(table: Table) -> None:
    table.ask(FakeReferred(), Transfers(accepts=True))
    assert table.told == [TransferAsked(LEG, DeviceId("6002"), from_outside=True)]


def test_one_transfer_of_a_call_at_a_time(table: Table) -> None:
    table.ask(FakeReferred())
    second = table.ask(FakeReferred())
    assert second.said == ["refused 491"]
    table.tell(100, 603)
    third = table.ask(FakeReferred())
    assert third.said == []


def test_a_refer_that_names_nobody(table: Table) -> None:
    assert table.ask(FakeReferred(Uri("sip", host="h"))).said == ["refused 404"]


def test_a_number_that_is_no_text_is_told_as_text(table: Table) -> None:
    table.ask(FakeReferred(Uri.parse("sip:6002%ff@h")))
    assert table.told == [TransferAsked(LEG, DeviceId("6002\ufffd"))]


def test_a_call_of_ours_that_is_to_be_replaced_is_named_by_its_leg(table: Table) -> None:
    table.legs["other"] = OTHER
    replaces = Replaces("c", "1", "2")
    table.ask(FakeReferred(replaces=replaces, replaced="other"))
    assert table.told == [TransferAsked(LEG, DeviceId("6002"), OTHER)]


def test_a_call_that_is_none_of_ours_can_not_be_replaced(table: Table) -> None:
    assert table.ask(FakeReferred(replaces=Replaces("c", "1", "2"))).said == ["refused 481"]


def test_nobody_is_told_who_did_not_ask(table: Table) -> None:
    table.tell(200)
    assert table.told == []
