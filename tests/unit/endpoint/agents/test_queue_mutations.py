"""Each decision of who is offered to whom has a test that fails where it is another."""

from __future__ import annotations

import pytest

from tests.unit.endpoint.callcontrol.mutants import of_queue
from tests.unit.endpoint.callcontrol.test_mutations import survivors

pytestmark = pytest.mark.unit

EQUIVALENT = {
    "queue._offer: goes on instead of returning": "where nobody is free nobody is found",
    "queue.refused: `place is not None and place.at is not None` without "
    "`place.at is not None`": "what rings nowhere is passed over by nobody",
}
"""What changes nothing, and why."""


def test_what_changes_nothing_is_told_by_its_name() -> None:
    names = [each.name for each in of_queue()]
    assert len(set(names)) == len(names) > 150
    assert set(EQUIVALENT) <= set(names)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_every_change_is_noticed() -> None:
    assert survivors("--queue") == set(EQUIVALENT)
