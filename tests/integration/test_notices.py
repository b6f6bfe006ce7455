"""Notices, looks, failures and signatures of one encounter in any order: the last content is billed, by one claim."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.canonical.errors import NotSignedOff, RateLimited, VendorUnavailable
from gateway.canonical.models import EncounterBundle, EncounterRecord, EncounterRef
from gateway.ports.billing import BillingCapability

FAILURES = {
    "away": VendorUnavailable("fake", "fetch", "HTTP 503"),
    "throttled": RateLimited("fake", "fetch", "later", retry_after=60.0),
    "back": None,
}
EVENTS = (
    "change",
    "unlock",
    "lock",
    "notify",
    "work",
    "later",
    "away",
    "throttled",
    "back",
    "meanwhile",
    "withdraw",
    "crash",
)
TABLES = "inbox, encounter, job, hold, submission, resource, resource_version, claim_reference"
CAN = frozenset({BillingCapability.FIND_SUBMISSION, BillingCapability.CORRECT, BillingCapability.VOID})


class Life:
    """What happens to the one encounter of a `World`."""

    def __init__(self, world: Any) -> None:
        self.world, self.ehr, self.changes_meanwhile = world, world.ehr_, False
        self.read: tuple[EncounterBundle, bool] = (self.ehr.bundle, False)
        self.plain = type(self.ehr).fetch_encounter
        self.ehr.fetch_encounter, self.ehr.normalize = self.fetch, self.normalize

    async def fetch(self, ref: EncounterRef) -> EncounterRecord:
        """It may change, and be told of, just after it was read."""
        record: EncounterRecord = await self.plain(self.ehr, ref)
        self.read = (self.ehr.bundle, self.ehr.unsigned)
        if self.changes_meanwhile:
            self.changes_meanwhile = False
            self.ehr.change()
            await self.world.notify()
        return record

    def normalize(self, record: EncounterRecord) -> EncounterBundle:
        """What was read, whatever it is by now."""
        bundle, unsigned = self.read
        if unsigned:
            raise NotSignedOff("Encounter.status", "the encounter is not signed off", "Sign it.")
        return bundle

    async def happen(self, event: str) -> None:
        match event:
            case "change":
                self.ehr.change()
            case "unlock" | "lock":
                self.ehr.unsigned = event == "unlock"
                self.ehr.version += 1
            case "notify" | "work" | "later":
                await getattr(self.world, event)()
            case "withdraw":
                self.ehr.withdraw()
            case "crash":  # a worker dies with the jobs that it has taken
                for job in await self.world.session.claim(10):
                    self.world.session.release(job)
                await self.world.session.renew()
            case "meanwhile":
                self.changes_meanwhile = True
            case _:
                self.ehr.failure = FAILURES[event]

    async def come_to_rest(self) -> None:
        """The EHR is back, the note is locked, and the last change is told of."""
        self.ehr.sign_again()
        for event in ("back", "lock", "notify"):
            await self.happen(event)
        while await self.world.one("select count(*) from job"):
            await self.world.later()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.sampled_from(EVENTS), max_size=14), settle=st.sampled_from([0.0, 600.0]))
async def test_the_last_content_is_billed_by_one_claim(world: Any, events: list[str], settle: float) -> None:
    async with world.store.acquire() as connection:
        await connection.execute(f"truncate {TABLES}")
    await world.session.renew()  # its leases last for less than all examples
    world.capabilities, former = CAN, world.ehr_.bundle
    world.billing_.saved.clear()
    world.ehr_.settle_seconds, world.ehr_.unsigned, world.ehr_.failure = settle, False, None
    world.ehr_.status = "finished"
    life = Life(world)
    for event in events:
        await life.happen(event)
    await life.come_to_rest()
    wanted = sum(line.unit_price * line.quantity for line in life.ehr.bundle.charges)
    life.ehr.bundle = former
    assert await world.findings() == []
    frequencies = [claim.partition("~")[2] for claim in world.billing_.saved]
    assert frequencies.count("") == 1 + frequencies.count("8"), "one is on file"
    assert world.billing_.saved[-1].partition("~")[0] == str(wanted)
