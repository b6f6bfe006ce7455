"""Whatever is sent, the clearinghouse answers; and nothing broken is ever kept."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.billing.x12_837p.simulator.account import DEFAULT_CREDENTIALS, DEFAULT_DIRECTORY, Account
from adapters.billing.x12_837p.simulator.intake import Intake
from adapters.billing.x12_837p.simulator.json_claims import claim_of, member_errors
from gateway.kit.contract_support import member_paths

ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers()), st.just({}))
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def intake() -> Intake:
    return Intake(Account(DEFAULT_DIRECTORY, DEFAULT_CREDENTIALS, lambda: datetime(2026, 3, 5, tzinfo=UTC)))


@settings(SHARED, max_examples=150)
@given(data=st.data())
def test_a_damaged_file_is_answered(x12: Any, data: st.DataObject) -> None:
    text = x12.TWO
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 40))
    new = data.draw(st.text(alphabet="*~:^ A1.\u00d6", max_size=6))
    damaged = text[:start] + new + text[start + length :]
    desk = intake()
    answers, events = desk.take(damaged)
    assert answers or not damaged.startswith("ISA")
    assert len(events) == len(desk.account.entries)
    assert all(answer.text.startswith("ISA") for answer in answers)


@settings(SHARED, max_examples=300)
@given(data=st.data())
def test_a_damaged_body_is_answered(claim_json: Any, data: st.DataObject) -> None:
    body = copy.deepcopy(claim_json)
    for place in data.draw(st.lists(st.sampled_from(member_paths(claim_json)), min_size=1, max_size=3)):
        holder: Any = body
        try:
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = data.draw(ANYTHING)
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change took the place away
    if not member_errors(body):
        assert claim_of(body, "", "SUB-1").account == body["claimInformation"]["patientControlNumber"]


def test_every_required_segment_is_missed(x12: Any) -> None:
    """Without any one segment of a claim that has only required ones, nothing is kept."""
    bare = x12.OFFICE
    for optional in ("PRV*BI*PXC*207N00000X~", "REF*D9*SUB-1~", "NM1*82*1*SMITH*ALAN****XX*1679576722~"):
        bare = bare.replace(optional, "")
    for optional in ("PRV*PE*PXC*207N00000X~", "REF*6R*GW7F3A91L1~", "REF*6R*GW7F3A91L2~"):
        bare = bare.replace(optional, "")
    bare = x12.edited(bare)
    assert [event.entry.saved for event in intake().take(bare)[1]] == [True]
    segments = bare.split("~")
    for number in range(3, len(segments) - 4):
        kept = [segment for place, segment in enumerate(segments) if place != number]
        text = x12.edited("~".join(kept))
        assert not [event for event in intake().take(text)[1] if event.entry.saved], segments[number]
