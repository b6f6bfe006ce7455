"""What is still missing before the first claim of a pair: what its billing system needs, its EHR lacks, and
gateway.yaml does not supply. Nothing is decided here: a claim that lacks something is held by its own checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.canonical.clinic import ClinicFact
from gateway.canonical.mapping import Row
from gateway.clinic_settings import ClinicSettings
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.mapping_join import vendor_side
from gateway.ports.billing import BillingAdapterInfo
from gateway.ports.context import Probe
from gateway.ports.ehr import EhrAdapterInfo

OF_EVERY_CLAIM = frozenset(
    {
        ClinicFact.CHARGES,
        ClinicFact.PRICES,
        ClinicFact.PAYER_ID,
        ClinicFact.PLACE_OF_SERVICE,
        ClinicFact.PROVIDER_NPI,
        ClinicFact.BILLING_ADDRESS,
    }
)
"""What the canonical claim itself must have, whoever receives it (claim_profile section 5)."""

NOT_OF_THE_EHR = frozenset({ClinicFact.BILLING_ADDRESS, ClinicFact.BILLING_ZIP_PLUS_FOUR, ClinicFact.BILLING_TAXONOMY})
"""What always comes from gateway.yaml: who bills is the clinic's own matter."""

_ADDRESS_PARTS = ("line", "city", "state", "postalCode")


@dataclass(frozen=True, slots=True)
class _Told:
    """A fact in words: the canonical `element` that carries it, the `key` of the clinic that supplies it."""

    what: str
    why: str
    element: str
    key: str
    supplied: Callable[[ClinicSettings], bool]


def _has_address(clinic: ClinicSettings) -> bool:
    return all(clinic.billing_provider.address.get(part) for part in _ADDRESS_PARTS)


def _has_zip_plus_four(clinic: ClinicSettings) -> bool:
    return sum(char.isdigit() for char in str(clinic.billing_provider.address.get("postalCode", ""))) == len(
        "336010001"
    )


def _has_prices(clinic: ClinicSettings) -> bool:
    lines = [line for rule in clinic.charge_map.rules for line in rule.lines]
    return len(clinic.fee_schedule) > 0 or (bool(lines) and all(line.fee is not None for line in lines))


def _has_places(clinic: ClinicSettings) -> bool:
    said = "place_of_service" in clinic.model_fields_set
    return said or any(location.place_of_service for location in clinic.locations.values())


_FACTS: Mapping[ClinicFact, _Told] = {
    ClinicFact.CHARGES: _Told(
        "charges",
        "a claim says by CPT or HCPCS code what was done (box 24D)",
        "Claim.item.productOrService",
        "charge_map (what is billed for what the EHR holds), or superbills (charges that come in files)",
        lambda clinic: bool(clinic.charge_map.rules) or clinic.superbills is not None,
    ),
    ClinicFact.PRICES: _Told(
        "prices",
        "each line has a charge (box 24F)",
        "Claim.item.unitPrice",
        "fee_schedule (the clinic's price of each code)",
        _has_prices,
    ),
    ClinicFact.PAYER_ID: _Told(
        "payer ids",
        "the billing system routes a claim by the payer's id",
        "Organization.identifier",
        "payer_ids (the id of each payer by its name in the EHR)",
        lambda clinic: bool(clinic.payer_ids),
    ),
    ClinicFact.PLACE_OF_SERVICE: _Told(
        "place of service",
        "each line says where it was done (box 24B), and without a word all is billed as done in an office (11)",
        "Claim.item.location",
        "locations.<id or name>.place_of_service, and place_of_service for all others",
        _has_places,
    ),
    ClinicFact.FACILITY_NPI: _Told(
        "NPI of the facilities",
        "the service facility is identified by it (box 32a)",
        "Location.identifier",
        "locations.<id or name>.npi",
        lambda clinic: any(location.npi for location in clinic.locations.values()),
    ),
    ClinicFact.FACILITY_ADDRESS: _Told(
        "addresses of the facilities",
        "a claim that names a service facility gives its address (box 32)",
        "Location.address",
        "locations.<id or name>.address",
        lambda clinic: any(location.address for location in clinic.locations.values()),
    ),
    ClinicFact.PROVIDER_NPI: _Told(
        "NPI of the providers",
        "the rendering provider is identified by it (box 24J)",
        "Practitioner.identifier",
        "providers.<id>.npi",
        lambda clinic: any(provider.npi for provider in clinic.providers.values()),
    ),
    ClinicFact.PROVIDER_TAXONOMY: _Told(
        "taxonomy of the providers",
        "some payers ask for the rendering provider's (PRV*PE)",
        "Practitioner.qualification",
        "providers.<NPI>.taxonomy",
        lambda clinic: any(provider.taxonomy for provider in clinic.providers.values()),
    ),
    ClinicFact.BILLING_ADDRESS: _Told(
        "address of the billing provider",
        "every claim has it (box 33)",
        "Claim.provider.resolve().address",
        "billing_provider.address (line, city, state and postalCode)",
        _has_address,
    ),
    ClinicFact.BILLING_ZIP_PLUS_FOUR: _Told(
        "ZIP+4 of the billing provider",
        "an 837P is refused with five digits (2010AA N403)",
        "Claim.provider.resolve().address",
        "billing_provider.address.postalCode, nine digits",
        _has_zip_plus_four,
    ),
    ClinicFact.BILLING_TAXONOMY: _Told(
        "taxonomy of the billing provider",
        "some payers ask for it (PRV*BI)",
        "Claim.provider.resolve().type",
        "billing_provider.taxonomy",
        lambda clinic: bool(clinic.billing_provider.taxonomy),
    ),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A clinic's EHR and billing system with their connections' settings; `where` names its part of gateway.yaml."""

    where: str
    clinic: ClinicSettings
    ehr: EhrAdapterInfo
    billing: BillingAdapterInfo
    ehr_settings: object = None
    billing_settings: object = None

    @property
    def lacked(self) -> frozenset[ClinicFact]:
        """What the EHR never gives on this connection."""
        always = self.ehr.lacks | NOT_OF_THE_EHR
        if self.ehr_settings is None or self.ehr.lacks_of is None:
            return always
        return always | self.ehr.lacks_of(self.ehr_settings)


def readiness(pair: Pair) -> list[Probe]:
    """The lines of `gateway check` for a pair.

    One that is not `ok` is missing for sure; a note tells what may be missing for some visits or payers.
    """
    takes = _taken(pair.billing, pair.billing_settings)
    lines = [*_own_billing(pair.ehr), *(line for fact in ClinicFact for line in _line(fact, pair, takes))]
    if all(line.ok for line in lines):
        lines.append(Probe("nothing is missing that every claim of this pair needs", ok=True))
    return lines


def _line(fact: ClinicFact, pair: Pair, takes: frozenset[ClinicFact]) -> Iterator[Probe]:
    told = _FACTS[fact]
    needed = fact in OF_EVERY_CLAIM | pair.billing.needs
    never, perhaps = fact in pair.lacked, fact in pair.ehr.may_lack
    if not (needed or fact in takes) or not (never or perhaps) or told.supplied(pair.clinic):
        return
    key = f"{pair.where}.{told.key}"
    if needed and never:
        detail = f"{told.why}; neither the EHR nor gateway.yaml has it"
        yield Probe(told.what, ok=False, detail=detail, remedy=f"Fill {key}.")
        return
    source = "gateway.yaml has none" if fact in NOT_OF_THE_EHR else "the EHR may not have it"
    yield Probe(told.what, ok=True, detail=f"{told.why}; {source}", remedy=f"If claims are held for it, fill {key}.")


def _own_billing(ehr: EhrAdapterInfo) -> Iterator[Probe]:
    if ehr.bills_itself:
        detail = "this EHR makes claims by itself, and nobody but the payer sees two claims for one visit"
        remedy = (
            f"Have that switched off for the visits that are billed here, or bill none of them here; see {ehr.docs}."
        )
        yield Probe("double billing", ok=True, detail=detail, remedy=remedy)


def _taken(billing: BillingAdapterInfo, settings: object) -> frozenset[ClinicFact]:
    """The facts whose element the vendor is told, by the adapter's own rows, or by its connection's."""
    carried, rows = billing.carried, billing.rows
    if settings is not None and billing.mapping_of is not None:
        carried, rows = billing.mapping_of(settings)
    told = _rows_by_element(carried, rows)
    return frozenset(fact for fact, of in _FACTS.items() if told[of.element])


def _rows_by_element(carried: Mapping[str, str], rows: Mapping[str, Sequence[Row]]) -> Mapping[str, Sequence[Row]]:
    elements = dict.fromkeys((*CLAIM_ELEMENTS, *carried, *(told.element for told in _FACTS.values())))
    return vendor_side(rows, carried, elements)
