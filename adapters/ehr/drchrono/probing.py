"""`gateway check` and `gateway connect`: whether the consent holds, who gave it, and what it cannot do.

Source: vendor document sections 2 (two gates), 3 (budget), 9 (what the API lacks) and 10 (webhooks).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapters.ehr.drchrono.errors import GATES
from adapters.ehr.drchrono.mapping import Options
from adapters.ehr.drchrono.practice import everything
from adapters.ehr.drchrono.settings import DrChronoSettings
from adapters.ehr.drchrono.tokens import DrChronoTokens
from gateway.canonical.clinic import KnownLocation
from gateway.canonical.models import Resource
from gateway.kit.errors import AdapterError, CredentialsRejected, PermissionMissing, RateLimited
from gateway.kit.json_api import JsonApi
from gateway.ports.context import AdapterContext, Probe

_TEN_DIGITS = re.compile(r"[0-9]{10}")
_ASKED: Mapping[str, Mapping[str, Any]] = {
    "appointments": {"page_size": 1},
    "clinical_notes": {"page_size": 1},
    "line_items": {"page_size": 1},
    "patients": {"page_size": 1},
    "patient_authorizations": {"page_size": 1},
}
_TRY_AGAIN = "Check base_url and that DrChrono can be reached from here, then try again."
_REMEDIES: Mapping[type[AdapterError], str] = {
    CredentialsRejected: "Check client_id and client_secret, then run `gateway connect` for this connection.",
    RateLimited: "Wait for the full hour; lower hourly_calls where other programs use the same app.",
}


@dataclass(frozen=True, slots=True)
class Prober:
    """The questions of a connection, one line each."""

    api: JsonApi
    tokens: DrChronoTokens
    settings: DrChronoSettings
    options: Options
    context: AdapterContext

    async def probe(self) -> list[Probe]:
        """Everything."""
        lines = await self.consented()
        if lines[0].ok:
            lines += [self._webhooks(), self._budget()]
            lines.append(await _tried("time zone and doctors", self._doctors))
            lines.append(await _tried("offices", self._offices))
        return lines

    async def consented(self) -> list[Probe]:
        """What the consent is worth: token, user, scopes, permissions."""
        lines = [await _tried("consent", self._consent)]
        if lines[0].ok:
            lines.append(await _tried("user", self._user))
            lines.append(await _tried("scopes", self._scopes))
            lines += [await _tried(_gate_name(kind), partial(self._gate, kind)) for kind in _ASKED]
        return lines

    async def _consent(self) -> Probe:
        await self.tokens.token()
        return Probe("consent", ok=True)

    async def _user(self) -> Probe:
        user = await self.api.get("probe:users", "users/current")
        role = "a doctor" if user.get("is_doctor") else "staff"
        return Probe("user", ok=True, detail=f"acts as {user.get('username')} ({role})")

    async def _scopes(self) -> Probe:
        held = await self.tokens.read()
        missing = sorted(set(self.settings.scopes) - set(held.scopes if held else ()))
        detail = f"missing: {' '.join(missing)}" if missing else ""
        remedy = (
            "Enable these scopes on the app's page in DrChrono, then run `gateway connect` again." if missing else ""
        )
        return Probe("scopes", ok=not missing, detail=detail, remedy=remedy)

    async def _gate(self, kind: str) -> Probe:
        today = self.context.now().astimezone(self.options.zone).date().isoformat()
        dated = {"date": today} if kind == "appointments" else {}
        await self.api.get(f"probe:{kind}", kind, {**_ASKED[kind], **dated})
        return Probe(_gate_name(kind), ok=True)

    def _webhooks(self) -> Probe:
        if not self.settings.webhook_secret.get_secret_value():
            detail = f"none: webhook_secret is not set; the feed is polled every {self.settings.poll_seconds} s"
            return Probe("webhooks", ok=True, detail=detail)
        detail = "expected from DrChrono; press Verify on the app's page there to see that it reaches this gateway"
        return Probe("webhooks", ok=True, detail=detail)

    def _budget(self) -> Probe:
        hourly, reserve = self.settings.hourly_calls, self.settings.live_reserve
        if not hourly:
            return Probe("call budget", ok=True, detail="not counted (hourly_calls is 0)")
        polls = 4 * 3600 // self.settings.poll_seconds if self.settings.poll_seconds else 0
        detail = f"{hourly} an hour, {reserve} of them kept for signed encounters; polls take about {polls}"
        remedy = "Raise poll_seconds or lower live_reserve." if polls + reserve > hourly else ""
        return Probe("call budget", ok=not remedy, detail=detail, remedy=remedy)

    async def _doctors(self) -> Probe:
        doctors = await everything(self.api, "probe:doctors", "doctors", {})
        away = sorted({str(d.get("timezone")) for d in doctors if not self._same_zone(d.get("timezone"))})
        nameless = [str(d.get("id")) for d in doctors if not d.get("npi_number") and not d.get("is_account_suspended")]
        if away:
            remedy = "Set timezone to the zone of DrChrono's times, or correct the clinic's timezone."
            return Probe("time zone and doctors", ok=False, detail=f"DrChrono's is {', '.join(away)}", remedy=remedy)
        bare = [str(d.get("id")) for d in doctors if not self._taxonomy(d)]
        told = [f"without NPI: {', '.join(nameless)}"] if nameless else []
        groups = {npi for d in doctors if _TEN_DIGITS.fullmatch(npi := str(d.get("group_npi_number")))}
        foreign = sorted(groups - {self.context.clinic.billing_provider.npi})
        told += [f"group NPI in DrChrono, and not who bills in gateway.yaml: {', '.join(foreign)}"] if foreign else []
        told += [f"no taxonomy among the clinic's providers: {', '.join(bare)}"] if bare else []
        remedy = "Where claims need it, fill `providers` and `billing_provider` of the clinic." if told else ""
        return Probe("time zone and doctors", ok=True, detail="; ".join(told), remedy=remedy)

    async def _offices(self) -> Probe:
        offices = [o for o in await everything(self.api, "probe:offices", "offices", {}) if not o.get("archived")]
        placeless = [_office(o) for o in offices if not self._facts(o).place_of_service]
        nameless = [_office(o) for o in offices if not self._facts(o).npi]
        own = self.context.clinic.place_of_service
        told = [f"place of service {own} of the clinic for {', '.join(placeless)}"] if placeless else []
        told += [f"no facility NPI for {', '.join(nameless)}"] if nameless else []
        remedy = "Where that is wrong, fill `locations` of the clinic, by the office's id." if told else ""
        return Probe("offices", ok=True, detail="; ".join(told), remedy=remedy)

    def _facts(self, office: Resource) -> KnownLocation:
        known = self.context.clinic.locations
        return known.get(str(office.get("id"))) or known.get(str(office.get("name"))) or KnownLocation()

    def _taxonomy(self, doctor: Resource) -> str:
        known = self.context.clinic.providers
        found = known.get(str(doctor.get("npi_number"))) or known.get(str(doctor.get("id")))
        return found.taxonomy if found else ""

    def _same_zone(self, name: Any) -> bool:
        """Whether a doctor's zone tells the same time now; an unknown or absent one is not judged."""
        try:
            zone = ZoneInfo(str(name)) if name else self.options.zone
        except (ZoneInfoNotFoundError, ValueError):
            return True
        now: datetime = self.context.now()
        return now.astimezone(zone).utcoffset() == now.astimezone(self.options.zone).utcoffset()


def _gate_name(kind: str) -> str:
    return f"permission: {kind.replace('_', ' ')}"


def _office(office: Resource) -> str:
    return f"{office.get('id')} ({office.get('name')})"


async def _tried(what: str, attempt: Callable[[], Awaitable[Probe]]) -> Probe:
    try:
        return await attempt()
    except PermissionMissing as problem:
        kind = problem.operation.partition(":")[2]
        return Probe(
            what, ok=False, detail=problem.text, remedy=f"Grant it in DrChrono: {GATES.get(kind, 'see scopes')}."
        )
    except AdapterError as problem:
        return Probe(what, ok=False, detail=problem.text, remedy=_REMEDIES.get(type(problem), _TRY_AGAIN))
