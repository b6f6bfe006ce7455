"""One visit per submission, and what is posted on it (sections 6.3, 6.4 and 7).

addvisit is not idempotent, so each step is written down before the next one: that a visit was asked for, then which
one it is, and only then are charges posted. A retry goes on with the visit; a visit that a refused claim left empty is
used by the next submission of the same encounter, patient, profile and day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from adapters.billing.advancedmd import actions, errors, replies, requests
from adapters.billing.advancedmd.errors import VENDOR
from adapters.billing.advancedmd.replies import Charge
from adapters.billing.advancedmd.service import Calls
from gateway.canonical import jsonio
from gateway.canonical.errors import ClaimRejected, ErrorCode, RateLimited, VendorUnavailable
from gateway.ports.context import AdapterContext

KEPT = timedelta(days=400)
MAX_PAGES = 20


@dataclass(frozen=True, slots=True)
class OwnVisit:
    """What the gateway remembers of a submission's visit; `visit` is empty while its creation is in doubt."""

    patient: str
    profile: str
    asked_at: str
    visit: str = ""


class Visits:
    """The visits that this connection made."""

    def __init__(self, context: AdapterContext, settle_seconds: float) -> None:
        self._context, self._settle = context, timedelta(seconds=settle_seconds)

    async def known(self, submission_id: str) -> OwnVisit | None:
        """The visit of a submission, or None when none was made: then no charges were sent either."""
        kept = await self._context.shared.get(_key(submission_id))
        return OwnVisit(**jsonio.loads(kept)) if kept else None

    async def opened(
        self, calls: Calls, submission_id: str, encounter: str, own: OwnVisit, document: Mapping[str, Any]
    ) -> str:
        """The id of the submission's own visit, made when there is none."""
        day = document["visit"]["date"]
        known = await self.known(submission_id)
        if known is not None and known.visit:
            return known.visit
        free = await self._taken(encounter, own, day)
        if free is not None:
            return await self._keep(submission_id, own, free)
        if known is not None:
            found = await self._looked_for(calls, submission_id, known, document)
            if found:
                return await self._keep(submission_id, known, found)
        return await self._keep(submission_id, own, await self._added(calls, submission_id, own, day))

    async def _added(self, calls: Calls, submission_id: str, own: OwnVisit, day: str) -> str:
        """A new visit; that it was asked for is remembered unless AdvancedMD has surely not made it."""
        key = _key(submission_id)
        await self._context.shared.put(key, jsonio.dumps(asdict(own)), KEPT)
        try:
            results = await calls.call(requests.add_visit(own.patient, own.profile, day))
            made = replies.number_of(replies.added_id(results, "visit"))
            if not made:
                raise errors.unreadable(actions.ADD_VISIT)
        except (RateLimited, ClaimRejected):
            await self._context.shared.drop(key)
            raise
        except VendorUnavailable:  # in doubt from this moment on: the call may have waited long for its turn
            in_doubt = replace(own, asked_at=self._context.now().isoformat())
            await self._context.shared.put(key, jsonio.dumps(asdict(in_doubt)), KEPT)
            raise
        return made

    async def adopt(self, submission_id: str, on_file: OwnVisit) -> None:
        """A correction is posted on the visit of the claim that it replaces."""
        await self._context.shared.put(_key(submission_id), jsonio.dumps(asdict(on_file)), KEPT)

    async def left_empty(self, submission_id: str, encounter: str, day: str) -> None:
        """The charges were refused: the visit is free for the encounter's next submission."""
        known = await self.known(submission_id)
        if known is not None and known.visit:
            empty = jsonio.dumps({"visit": known.visit, "day": day})
            await self._context.shared.put(_slot(encounter, known), empty, KEPT)
            await self._context.shared.drop(_key(submission_id))
            await self._context.shared.drop(_owner(known.visit))

    async def charges(self, calls: Calls, own: OwnVisit, document: Mapping[str, Any]) -> list[Charge]:
        """The charges on a visit, voided ones too, from the patient's ledger of the claim's days."""
        served = (charge[name] for charge in document["charges"] for name in ("begindate", "enddate"))
        days = sorted([*served, document["visit"]["date"]], key=_sortable)
        found: list[Charge] = []
        for page in range(1, MAX_PAGES + 1):
            results = await calls.call(requests.history(own.patient, own.profile, days[0], days[-1], page))
            fresh = [charge for charge in replies.charges(results) if charge not in found]
            if not fresh:
                break  # whether `chargecount` counts all pages or this one is not documented
            found += fresh
        else:
            raise errors.fault(actions.GET_HISTORY, errors.TOO_MANY_CODE, "")
        return [charge for charge in found if charge.visit == replies.number_of(own.visit)]

    async def _taken(self, encounter: str, own: OwnVisit, day: str) -> str | None:
        """The visit that a refused claim of the same encounter left empty on the same day, from now on ours."""
        kept = await self._context.shared.get(_slot(encounter, own))
        empty: dict[str, str] = jsonio.loads(kept) if kept else {}
        if empty.get("day") != day:
            return None
        await self._context.shared.drop(_slot(encounter, own))
        return empty["visit"]

    async def _looked_for(
        self, calls: Calls, submission_id: str, known: OwnVisit, document: Mapping[str, Any]
    ) -> str | None:
        """A visit whose creation was in doubt: the newest of the day that is nobody else's and has no charges."""
        left = datetime.fromisoformat(known.asked_at) + self._settle - self._context.now()
        if left > timedelta(0):
            text = "the answer to a new visit was lost, and AdvancedMD may still be saving it"
            raise VendorUnavailable(
                VENDOR, actions.ADD_VISIT, text, code=ErrorCode.TIMEOUT, retry_after=left.total_seconds()
            )
        results = await calls.call(requests.visits_of(document["visit"]["date"]))
        listed = replies.visits(results, known.patient, document["patient"]["name"], known.profile)
        for visit in sorted(filter(None, map(replies.number_of, listed)), key=int, reverse=True):
            owner = await self._context.shared.get(_owner(visit))
            if owner in (None, submission_id.encode()) and not await self.charges(
                calls, replace(known, visit=visit), document
            ):
                return visit
        return None

    async def _keep(self, submission_id: str, own: OwnVisit, visit: str) -> str:
        await self._context.shared.put(_owner(visit), submission_id.encode(), KEPT)
        await self._context.shared.put(_key(submission_id), jsonio.dumps(asdict(replace(own, visit=visit))), KEPT)
        return visit


def _key(submission_id: str) -> str:
    return f"visit/{submission_id}"


def _owner(visit: str) -> str:
    return f"visit-owner/{visit}"


def _slot(encounter: str, own: OwnVisit) -> str:
    return f"visit-free/{encounter}/{own.patient}/{own.profile}"


def _sortable(day: str) -> str:
    month, number, year = day.split("/")
    return f"{year}{month}{number}"
