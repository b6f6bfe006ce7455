"""The pipeline on a real Postgres with adapters that do as they are told: one claim, whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.errors import (
    ClaimRejected,
    CredentialsRejected,
    ErrorCode,
    MappingError,
    NotificationRejected,
    OutcomeUnknown,
    RateLimited,
    UnexpectedResponse,
    UnsupportedElement,
    VendorUnavailable,
)
from gateway.canonical.findings import error
from gateway.pipeline.jobs import run_job
from gateway.ports.records import JobKind, NewJob

CLINIC = "clinic-a"


def anything(world: Any) -> AuditEvent:
    return AuditEvent(Step.CONNECTION_RESUMED, world.now(), CLINIC, "0" * 32)


STATE = "select state from submission"
ENCOUNTER = "select state from encounter"


async def test_a_signed_encounter_becomes_one_claim_with_every_step_audited(world: Any) -> None:
    await world.notify()
    await world.work()
    assert world.billing_.saved == ["24.45"]
    assert await world.one(STATE) == "received"
    assert await world.one(ENCOUNTER) == "submitted"
    assert await world.one("select count(*) from job") == 0
    assert set(await world.steps()) == {
        "notification-received",
        "encounter-fetched",
        "encounter-normalized",
        "claim-checked",
        "claim-routed",
        "disclosure-intended",
        "disclosure-confirmed",
    }
    assert len({*await world.steps()}) == len(await world.steps())


async def test_the_same_notification_again_changes_nothing(world: Any) -> None:
    await world.notify()
    await world.work()
    assert await world.notify() == 0
    world.ehr_.version = 2
    assert await world.notify() == 1
    await world.work()
    assert world.billing_.sent == 1
    assert (await world.steps())[-1] == "encounter-unchanged"


async def test_a_lost_answer_is_looked_for_and_not_sent_again(world: Any) -> None:
    world.billing_.after = [OutcomeUnknown("v", "submit", "timed out")]
    await world.notify()
    await world.work()
    assert await world.one(STATE) == "uncertain"
    settled = await world.one("select run_at - clock_timestamp() > interval '50 seconds' from job")
    assert settled, "the vendor is given time to finish saving before it is asked"
    await world.work()
    assert world.billing_.looks == 0
    await world.later()
    assert (world.billing_.sent, world.billing_.saved, await world.one(STATE)) == (1, ["24.45"], "received")


async def test_a_claim_that_is_surely_not_there_is_sent_again(world: Any) -> None:
    world.billing_.before = [OutcomeUnknown("v", "submit", "timed out")]
    await world.notify()
    await world.work()
    await world.later()
    assert (world.billing_.sent, world.billing_.looks, world.billing_.saved) == (2, 1, ["24.45"])
    assert await world.one(STATE) == "received"


async def test_a_worker_that_dies_while_sending_leaves_a_claim_that_is_looked_for(world: Any) -> None:
    world.billing_.after = [asyncio.CancelledError()]  # type: ignore[list-item]
    await world.notify()
    with pytest.raises(asyncio.CancelledError):
        await world.work()
    assert await world.one(STATE) == "sending"
    async with world.store.acquire() as connection:
        await connection.execute("update job set lease_until = clock_timestamp() - interval '1 s'")
    await world.session.reap()
    await world.work()
    assert await world.one(STATE) == "uncertain"
    await world.later()
    assert (world.billing_.sent, world.billing_.saved, await world.one(STATE)) == (1, ["24.45"], "received")


async def test_a_vendor_that_cannot_be_asked_is_never_sent_the_claim_twice(world: Any) -> None:
    world.billing_.finds = False
    world.billing_.after = [OutcomeUnknown("v", "submit", "timed out")]
    await world.notify()
    await world.work()
    await world.later()
    assert await world.findings() == ["outcome-unknown"]
    assert (world.billing_.sent, await world.one(STATE)) == (1, "uncertain")
    world.ehr_.change()
    await world.notify()
    await world.work()
    assert world.billing_.sent == 1


async def test_a_held_uncertain_claim_is_looked_for_when_it_is_rechecked(world: Any) -> None:
    world.billing_.finds = False
    world.billing_.after = [OutcomeUnknown("v", "submit", "timed out")]
    await world.notify()
    await world.work()
    await world.later()
    assert await world.findings() == ["outcome-unknown"]
    world.billing_.finds = True
    encounter = await world.one("select id from encounter")
    await world.store.ensure_job(
        CLINIC, NewJob(JobKind.NORMALIZE, encounter, {"encounter_id": encounter, "force": "1"}, "0" * 32)
    )
    await world.work()
    assert (await world.findings(), await world.one(ENCOUNTER), await world.one(STATE)) == ([], "submitted", "received")
    assert world.billing_.sent == 1


async def test_a_look_whose_answer_cannot_be_understood_is_held_and_never_resent(world: Any) -> None:
    world.billing_.after = [OutcomeUnknown("v", "submit", "timed out")]
    world.billing_.look_failure = UnexpectedResponse("v", "find", "not what was asked for")
    await world.notify()
    await world.work()
    await world.later()
    assert (await world.findings(), await world.one(STATE)) == (["outcome-unknown"], "uncertain")
    assert world.billing_.sent == 1


async def test_a_vendor_that_loses_every_answer_is_given_up_after_a_day(world: Any) -> None:
    world.billing_.before = [OutcomeUnknown("v", "submit", "timed out")] * 3
    await world.notify()
    await world.work()
    await world.later()
    assert world.billing_.sent == 2
    world.ahead = timedelta(hours=25)
    await world.later()
    await world.later()
    assert (await world.findings(), world.billing_.sent) == (["gave-up"], 2)


async def test_a_refused_claim_is_held_and_sent_once_corrected(world: Any) -> None:
    finding = error("invalid_diagnosis", "Claim.diagnosis[0]", "The diagnosis code is not known.")
    world.billing_.before = [
        ClaimRejected("v", "submit", "refused", code=ErrorCode.INVALID_DIAGNOSIS, findings=[finding])
    ]
    await world.notify()
    await world.work()
    assert (await world.findings(), await world.one(STATE)) == (["invalid_diagnosis"], "rejected")
    world.ehr_.version += 1
    await world.notify()
    await world.work()
    assert world.billing_.sent == 1, "the same claim is not sent again"
    world.ehr_.change()
    await world.notify()
    await world.work()
    assert (world.billing_.saved, await world.one(STATE), await world.findings()) == (["40.50"], "received", [])


async def test_a_change_after_submission_is_held_with_what_changed(world: Any) -> None:
    await world.notify()
    await world.work()
    world.ehr_.change()
    await world.notify()
    await world.work()
    [hold] = await world.store.open_holds(CLINIC)
    changed = [f.expression for f in hold["findings"]]
    assert changed == ["Claim.item[0].quantity.value", "Claim.item[0].net.value", "Claim.total.value"]
    assert world.billing_.sent == 1


async def test_throttling_is_not_a_failure(world: Any) -> None:
    world.billing_.before = [RateLimited("v", "submit", "slow down", retry_after=7)]
    await world.notify()
    await world.work()
    assert await world.one("select attempts from job") == 0
    assert await world.one("select run_at - clock_timestamp() > interval '5 s' from job")
    await world.later()
    assert await world.one(STATE) == "received"


async def test_an_unavailable_vendor_is_tried_again_and_given_up_after_a_day(world: Any) -> None:
    world.billing_.before = [VendorUnavailable("v", "submit", "refused")] * 3
    await world.notify()
    await world.work()
    await world.later()
    assert await world.one("select attempts from job") == 2
    world.ahead = timedelta(hours=25)
    await world.later()
    assert (await world.findings(), await world.one("select reason from dead_letter")) == (["gave-up"], "unavailable")


async def test_bad_credentials_stop_the_connection_until_it_is_resumed(
    world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world.billing_.before = [CredentialsRejected("v", "submit", "wrong password")]
    await world.notify()
    await world.work()
    alerts = [record for record in caplog.records if getattr(record, "alert", "") == "connection-stopped"]
    assert [(a.connection, a.error) for a in alerts] == [("billing", "credentials")]
    assert [row["connection"] for row in await world.store.report("stopped", CLINIC)] == ["billing"]
    await world.later()
    assert world.billing_.sent == 1, "no further try, accounts get locked"
    async with world.store.unit_of_work(CLINIC) as unit:
        await unit.resume_connection("billing")
        await unit.commit(anything(world))
    await world.work()
    assert world.billing_.saved == ["24.45"]


@pytest.mark.parametrize(
    ("break_it", "edit", "expression"),
    [
        (
            lambda w: setattr(w.ehr_, "failure", MappingError("Encounter.period", "is missing")),
            "mapping",
            "Encounter.period",
        ),
        (
            lambda w: setattr(w.billing_, "build_failure", UnsupportedElement("Claim.accident", "cannot be carried")),
            "unsupported-element",
            "Claim.accident",
        ),
    ],
)
async def test_what_cannot_be_mapped_or_carried_is_held_with_its_path(
    world: Any, break_it: Callable[[Any], None], edit: str, expression: str
) -> None:
    break_it(world)
    await world.notify()
    await world.work()
    [hold] = await world.store.open_holds(CLINIC)
    assert [(f.edit, f.expression) for f in hold["findings"]] == [(edit, expression)]
    assert world.billing_.sent == 0


async def test_a_wrong_claim_is_held_with_all_findings_at_once(world: Any) -> None:
    coverage = {**world.ehr_.bundle.resources[1], "period": {"end": "2026-01-31"}}
    coverage.pop("subscriberId")
    resources = (world.ehr_.bundle.resources[0], coverage, *world.ehr_.bundle.resources[2:])
    world.ehr_.bundle = replace(world.ehr_.bundle, resources=resources)
    await world.notify()
    await world.work()
    found = await world.findings()
    assert "coverage-inactive" in found
    assert len(found) >= 2
    assert world.billing_.sent == 0


async def test_a_refused_notification_leaves_only_its_audit_event(world: Any) -> None:
    world.ehr_.refused = True
    with pytest.raises(NotificationRejected):
        await world.notify()
    assert await world.steps() == ["notification-rejected"]
    assert await world.one("select count(*) from inbox") == 0


async def test_a_defect_is_retried_then_dead_lettered_and_its_text_never_logged(
    world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world.ehr_.failure = ValueError("Jane Canary 007123456")
    await world.notify()
    with caplog.at_level(logging.INFO):
        await world.work()
        for _ in range(4):
            await world.later()
    assert await world.findings() == ["gave-up"]
    assert "Canary" not in "".join(str(vars(record)) for record in caplog.records)
    assert "Canary" not in await world.one("select reason from dead_letter")


async def test_audit_events_name_the_patient_by_reference_only(world: Any) -> None:
    await world.notify()
    await world.work()
    async with world.store.acquire() as connection:
        contents = b"".join(row["content"] for row in await connection.fetch("select content from audit_event"))
    assert b"Patient/ehr.p1" in contents
    for value in (b"Canary", b"007123456", b"1985-06-15", b"Main St"):
        assert value not in contents


async def test_the_same_outcome_when_every_step_starts_anew(world: Any) -> None:
    """Nothing is carried in memory only: each step alone reads what it needs from the store."""
    await world.notify()
    for _ in range(6):
        for job in await world.session.claim(10):
            result = await run_job(world.pipeline, job, None)
            if result.job is not None:
                async with world.store.unit_of_work(CLINIC) as unit:
                    await unit.postpone(result.job, timedelta(), reason="", failed=False)
                    await unit.commit(anything(world))
            world.session.release(job)
    assert (world.billing_.saved, await world.one(STATE)) == (["24.45"], "received")
