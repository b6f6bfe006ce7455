"""The Practice Fusion adapter: what SMART on FHIR adapters do, without notifications, and token errors in words."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from adapters.ehr.practice_fusion import mapping
from adapters.ehr.practice_fusion.errors import VENDOR, token_refusal
from adapters.ehr.practice_fusion.settings import PracticeFusionSettings
from gateway.canonical.subscription import Subscribed
from gateway.kit.ehr_adapter import EhrBase
from gateway.kit.ehr_base import SmartFhirEhr
from gateway.kit.ehr_fetch import BY_ENCOUNTER
from gateway.kit.tokens import TokenRefusal
from gateway.ports.context import AdapterContext, Probe


class PracticeFusion(SmartFhirEhr):
    """One practice: its base URL, its token endpoint, its keys."""

    vendor: ClassVar[str] = VENDOR
    settings: PracticeFusionSettings
    resource_maps: ClassVar = mapping.RESOURCE_MAPS
    charge_sources: ClassVar = mapping.CHARGE_SOURCES
    searches_by_encounter: ClassVar = tuple(s for s in BY_ENCOUNTER if s.resource_type in ("Condition", "Procedure"))
    unreadable_types: ClassVar = frozenset({"Location", "PractitionerRole"})
    token_refusal: ClassVar[TokenRefusal] = staticmethod(token_refusal)

    verify_notification = EhrBase.verify_notification
    parse_notification = EhrBase.parse_notification

    def __init__(self, settings: PracticeFusionSettings, context: AdapterContext) -> None:
        """Open the connection's HTTP pool; raises `ConfigurationError` for a key that cannot sign."""
        super().__init__(settings, context)
        self.dialect = replace(self.dialect, record_number_system=settings.record_number_system)

    async def subscribe(self, endpoint: str) -> tuple[Subscribed, ...]:
        """There are no subscriptions."""
        raise self._unsupported("subscribe", "Practice Fusion has no subscriptions; encounters are polled")

    async def probe(self) -> list[Probe]:
        """What every SMART connection tries; and where charges come from, as the API has none."""
        sources = ", ".join(self.dialect.charge_sources)
        detail = f"from {sources}" + ("; see `superbills` of the clinic" if "superbill" in sources else "")
        return [*await super().probe(), Probe("charges", ok=True, detail=detail)]
