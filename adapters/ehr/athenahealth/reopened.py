"""Encounters that were reopened after they were billed: no feed tells of them, so that they are looked for once a day.

A closed encounter tells the date on which it was last reopened, and no finer time (vendor document section 5).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import date, timedelta

from adapters.ehr.athenahealth.api import AthenaApi
from adapters.ehr.athenahealth.booked import BookedAppointments
from adapters.ehr.athenahealth.fetch import all_of
from adapters.ehr.athenahealth.settings import AthenahealthSettings
from adapters.ehr.athenahealth.values import EASTERN, day, text
from gateway.canonical.errors import AdapterError, UnexpectedResponse, VendorUnavailable
from gateway.canonical.models import EncounterRef, Resource
from gateway.kit.ehr_references import is_vendor_id
from gateway.ports.context import AdapterContext

LOOKED_ON = "reopened-looked-on"
"""The shared value that tells on which date they were last looked for."""
AT_ONCE = 50
FAILURES_MOST = 3  # of a look: beyond it, it is athenahealth and not the chart
DATES_DIFFER = timedelta(days=1)
"""West of US Eastern the day of a look goes on after it; and what a look found and a crash lost comes once more."""


class ReopenedEncounters:
    """The reopened encounters of one practice."""

    def __init__(
        self, api: AthenaApi, booked: BookedAppointments, settings: AthenahealthSettings, context: AdapterContext
    ) -> None:
        self._api, self._booked, self._settings, self._context = api, booked, settings, context

    async def since_yesterday(self) -> AsyncGenerator[EncounterRef]:
        """Pointers to those reopened since the last look, once a day; none on the first day of a connection."""
        shared, today = self._context.shared, self._context.now().astimezone(EASTERN).date()
        held = await shared.get(LOOKED_ON)
        last = date.fromisoformat(held.decode()) if held else today
        if last < today and self._settings.reopen_days:
            async for ref in self._found(last, today):
                yield ref
        if held is None or last < today:  # only now: what was not taken is looked for again
            await shared.put(LOOKED_ON, today.isoformat().encode())

    async def _found(self, last: date, today: date) -> AsyncGenerator[EncounterRef]:
        now = self._context.now()
        rows = await self._booked.between(now - timedelta(days=self._settings.reopen_days), now)
        named = dict.fromkeys(text(row.get("encounterid")) for row in rows)
        ids = [encounter_id for encounter_id in named if is_vendor_id(encounter_id)]
        problems: list[AdapterError] = []
        for start in range(0, len(ids), AT_ONCE):
            charts = await all_of(*(self._chart(each, problems) for each in ids[start : start + AT_ONCE]))
            if len(problems) > FAILURES_MOST:
                raise problems[0]
            for chart in charts:
                reopened = day(chart.get("lastreopened"))
                if reopened is not None and last - reopened <= DATES_DIFFER:
                    encounter_id = text(chart.get("encounterid"))
                    yield EncounterRef(encounter_id, f"Encounter/{encounter_id}@{reopened}/{today}")

    async def _chart(self, encounter_id: str, problems: list[AdapterError]) -> list[Resource]:
        """One that cannot be read is passed over: to begin anew for it at each poll would read all the others again."""
        try:
            found = await self._api.at_most_one("encounter", f"chart/encounter/{encounter_id}")
        except (UnexpectedResponse, VendorUnavailable) as problem:
            problems.append(problem)
            return []
        return [{**chart, "encounterid": encounter_id} for chart in found]
