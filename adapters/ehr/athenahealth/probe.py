"""What `gateway check` tries at athenahealth, each line with what to do when it fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from adapters.ehr.athenahealth.api import AthenaApi
from adapters.ehr.athenahealth.notifications import TOPICS
from adapters.ehr.athenahealth.settings import AthenahealthSettings
from adapters.ehr.athenahealth.subscriptions import Subscriptions
from adapters.ehr.athenahealth.values import encounter_filter, mdy, text
from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
)
from gateway.canonical.subscription import SubscriptionStatus
from gateway.kit.authorized_http import Tokens
from gateway.kit.ehr_client import FhirClient
from gateway.kit.ehr_vendor_settings import OwnBilling
from gateway.kit.probing import Remedies
from gateway.ports.context import AdapterContext, Probe

_REMEDIES = Remedies(
    {
        CredentialsRejected: "Check client_id and its secret or key; each of preview and production has its own.",
        PermissionMissing: (
            "Check practice_id and host, and that the practice has granted the app these APIs and scopes."
        ),
        RateLimited: "Wait; set calls_per_second and calls_per_day to what athenahealth has agreed for this app.",
        UnexpectedResponse: "Check host and practice_id.",
    },
    otherwise="Try again; if it stays so, ask athenahealth whether the API is under maintenance.",
)


class Prober:
    """The checks of one connection."""

    def __init__(  # noqa: PLR0917
        self,
        api: AthenaApi,
        fhir: FhirClient,
        tokens: Tokens,
        subscriptions: Subscriptions,
        settings: AthenahealthSettings,
        context: AdapterContext,
    ) -> None:
        self._api, self._fhir, self._tokens, self._subscriptions = api, fhir, tokens, subscriptions
        self._settings, self._context = settings, context

    async def probe(self) -> list[Probe]:
        """All lines; only the first when there is no token."""
        lines = [await self._try("access token", self._token)]
        if lines[0].ok:
            checks = (
                ("practice and departments", self._departments),
                ("appointments feed", self._feed),
                ("athenahealth's own billing", self._own_billing),
                ("FHIR", self._conditions),
                ("sign-off events", self._events),
            )
            lines += [await self._try(what, attempt) for what, attempt in checks]
        return lines

    async def _try(self, what: str, attempt: Callable[[], Awaitable[tuple[bool, str, str]]]) -> Probe:
        try:
            ok, detail, remedy = await attempt()
        except AdapterError as problem:
            return _REMEDIES.failed(what, problem)
        return Probe(what, ok=ok, detail=detail, remedy=remedy)

    async def _token(self) -> tuple[bool, str, str]:
        await self._tokens.token()
        return True, f"scopes {' '.join(self._settings.asked_scopes)}", ""

    async def _departments(self) -> tuple[bool, str, str]:
        rows = await self._api.rows("departments", "departments", "departments")
        held = {text(row.get("departmentid")) for row in rows}
        unknown = [department for department in self._settings.department_ids if department not in held]
        if unknown:
            return False, f"unknown departments: {', '.join(unknown)}", "Correct department_ids."
        without_place = sum(not row.get("placeofservicetypeid") for row in rows)
        hint = f", {without_place} without a place of service" if without_place else ""
        return bool(held), f"{len(held)} departments{hint}", "" if held else "Check practice_id."

    async def _feed(self) -> tuple[bool, str, str]:
        if not self._settings.poll_seconds:
            return True, "not read: poll_seconds is 0", ""
        held = await self._subscriptions.feed_status()
        if held.status is SubscriptionStatus.ACTIVE:
            return True, "subscribed", ""
        return True, "not subscribed yet: the gateway does it when it starts, and it takes up to 15 minutes", ""

    async def _own_billing(self) -> tuple[bool, str, str]:
        if self._settings.own_billing is OwnBilling.IGNORE:
            return True, "not looked at: own_billing is ignore. See to it that athenahealth sends no claims itself", ""
        today = mdy(self._context.now().date())
        claims = await self._api.rows("claim", "claims", "claims", {"servicestartdate": today, "serviceenddate": today})
        if claims:
            text_ = f"athenahealth has made {len(claims)} claims for today; such visits are held, not billed twice"
            return True, text_, ""
        return True, "claims can be read; visits that athenahealth has billed are held", ""

    async def _conditions(self) -> tuple[bool, str, str]:
        """A search that finds nothing proves base, scope and practice: a wrong practice is an error inside a 200."""
        await self._fhir.search("Condition", encounter_filter(self._settings.practice_id, "0"))
        return True, "Condition can be searched, for ICD-10 codes beside SNOMED", ""

    async def _events(self) -> tuple[bool, str, str]:
        if not self._settings.push:
            return True, "push is off: the appointments feed is read", ""
        offered = [str(topic.get("url", "")) for topic in await self._fhir.search("SubscriptionTopic", {})]
        absent = [topic for topic in TOPICS if not any(url.endswith(f"/{topic}") for url in offered)]
        if absent:
            return (
                False,
                f"not offered: {', '.join(absent)}",
                "Ask athenahealth for these topics, or set push to false.",
            )
        return True, f"{' and '.join(TOPICS)} are offered", ""
