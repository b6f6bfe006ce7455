"""The rows that make the canonical Claim (claim_profile section 5): the builder applies them, the document prints them.

Roots of the sources:

    bundle      the `EncounterBundle`; `charge` is one of its charges, `roles` its providers and places by role
    diagnoses   the codes of its diagnoses in claim order; `diagnosis` is one of them
    clinic      the `ClinicFacts` from gateway.yaml; `billing_provider` is who bills
    gateway     what the gateway itself knows: `created`, `generation`
    index       the place in a list, from 0
    Encounter, Coverage, Organization     canonical resources
    claim, item                           what the rows before have made of the claim and of this line
    Claim                                 the claim's lists, which are made first
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from gateway.canonical import claim_values as values
from gateway.canonical import codes
from gateway.canonical.identifiers import claim_id
from gateway.canonical.mapping import Row, same

BILLING_PROVIDER_ID = "billing-provider"
_OBJECTS = frozenset({"bundle", "charge", "clinic", "gateway", "billing_provider"})  # roots that are no JSON objects

Make = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Part(Row):
    """A row over several values: `source` names them, `via` is given all of them in that order, None for an absent one.

    A name is a root, a member of a root, a member of each element of such a list, or a literal in quotes.
    """

    via: Callable[..., Any] = same
    make: Make = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "make", _made(self.via, [_read(name) for name in self.source.split(", ")]))

    def value(self, roots: Mapping[str, Any]) -> Any:
        """What `via` makes of the values; raises what `via` raises."""
        return self.make(roots)


class Table(tuple[Row, ...]):
    """Rows that are applied together; each is compiled once."""

    steps: tuple[tuple[str, Make], ...]

    @classmethod
    def of(cls, *rows: Row) -> Table:
        """A table of these rows."""
        table = cls(rows)
        table.steps = tuple((row.target, row.make if isinstance(row, Part) else row.value) for row in rows)
        return table

    def fill(self, roots: Mapping[str, Any], into: dict[str, Any] | None = None) -> dict[str, Any]:
        """Target to value in row order; None and empty lists are left out. A row sees the earlier ones in `into`."""
        filled: dict[str, Any] = {} if into is None else into
        for target, make in self.steps:
            value = make(roots)
            if value or (value is not None and value != []):
                filled[target] = value
        return filled


def _made(via: Callable[..., Any], reads: Sequence[Make]) -> Make:
    """One call that reads the values and transforms them; the frequent counts are written out, they are faster."""
    if len(reads) == 1:
        (only,) = reads
        return only if via is same else lambda roots: via(only(roots))
    if len(reads) == 2:
        left, right = reads
        return lambda roots: via(left(roots), right(roots))
    return lambda roots: via(*[read(roots) for read in reads])


def _read(name: str) -> Make:
    if name.startswith("'"):
        literal = name.strip("'")
        return lambda _: literal
    root, _, rest = name.partition(".")
    member, _, inner = rest.partition(".")
    if not member:
        return itemgetter(root)
    if inner:
        return lambda roots: [element[inner] for element in roots[root][member]]
    if root in _OBJECTS:
        return lambda roots: getattr(roots[root], member)
    return lambda roots: roots[root].get(member)


_OF_ENCOUNTER = "clinic.clinic_id, Encounter.id, gateway.generation"

CLAIM_ROWS = Table.of(
    Part("resourceType", "'Claim'"),
    Part("id", _OF_ENCOUNTER, claim_id, required=True),
    Part("meta", "bundle.source", values.provenance, required=True),
    Part("identifier", f"claim.id, {_OF_ENCOUNTER}", values.identifiers, required=True),
    Part("status", "'active'"),
    Part("type", "'professional'", values.coded(codes.CLAIM_TYPE)),
    Part("use", "'claim'"),
    Part("patient", "Encounter.subject", required=True),
    Part("billablePeriod", "Claim.item.servicedDate", values.service_period, required=True),
    Part("created", "gateway.created", required=True),
    Part("provider", f"'Organization/{BILLING_PROVIDER_ID}'", values.reference),
    Part("priority", "'normal'", values.coded(codes.PROCESS_PRIORITY)),
    Part("careTeam", "Claim.careTeam"),
    Part("diagnosis", "Claim.diagnosis"),
    Part("insurance", "Claim.insurance"),
    Part("item", "Claim.item"),
    Part("total", "Claim.item.net", values.total, required=True),
    Part("facility", "roles.service_facility", values.reference),
    Part("insurer", "Coverage.payor", values.first_one, note="of the focal coverage"),
    Part("accident", "bundle.accident", values.filled),
    Part("referral", "bundle.referral_number", values.referral),
)
"""The Claim itself, when its lists are made."""

ROLE_ROWS = Table.of(
    Part("rendering", "roles.rendering_provider", values.filled, required=True),
    Part("referring", "roles.referring_provider", values.filled),
    Part("supervisor", "roles.supervising_provider", values.filled),
    Part("ordering", "roles.ordering_provider", values.filled),
)
"""Who is in the care team, in this order; then each line's own performer as a further rendering provider."""

MEMBER_ROWS = Table.of(
    Part("sequence", "index", values.number),
    Part("provider", "provider", values.reference, required=True),
    Part("role", "role", values.coded(codes.CARE_TEAM_ROLE), required=True),
)

DIAGNOSIS_ROWS = Table.of(
    Part("sequence", "index", values.number),
    Part("diagnosisCodeableConcept", "diagnosis", values.coded(codes.ICD10CM), required=True),
    Part("type", "index", values.principal_first),
)

INSURANCE_ROWS = Table.of(
    Part("sequence", "index", values.number),
    Part("focal", "index", values.is_first, note="the coverages stand in Coverage.order"),
    Part("coverage", "Coverage", values.reference_to, required=True),
    Part("preAuthRef", "index, bundle.prior_authorization", values.on_first),
)

ITEM_ROWS = Table.of(
    Part("sequence", "index", values.number),
    Part("diagnosisSequence", "charge.diagnosis_codes, diagnoses", values.pointers),
    Part("productOrService", "charge.system, charge.code", codes.concept, required=True),
    Part("modifier", "charge.modifiers", values.modifiers),
    Part("servicedDate", "charge.serviced, bundle.serviced", values.service_date, required=True),
    Part("locationCodeableConcept", "charge.location_code, bundle.location_code", values.place, required=True),
    Part("quantity", "charge.quantity, charge.unit", values.quantity, required=True),
    Part(
        "unitPrice",
        "charge.unit_price, clinic.fee, charge, bundle.serviced",
        values.unit_price,
        required=True,
        note=values.NO_PRICE,
        fix=values.ADD_PRICE,
    ),
    Part("net", "item.unitPrice, charge.quantity", values.net, required=True),
    Part("encounter", "Encounter", values.encounter),
    Part("detail", "charge.drug", values.numbered),
    Part("careTeamSequence", "charge.performer, roles.rendering_provider, Claim.careTeam", values.line_provider),
)

PAYER_ROWS = Table.of(Part("identifier", "Organization, clinic.payer_ids", values.payer_identifiers))
"""What is added to a payer's Organization."""

BILLING_PROVIDER_ROWS = Table.of(
    Part("resourceType", "'Organization'"),
    Part("id", f"'{BILLING_PROVIDER_ID}'"),
    Part("meta", "'urn:fhir-billing-gateway:configuration'", values.configured),
    Part("identifier", "billing_provider.npi, billing_provider.tax_id", values.provider_identifiers, required=True),
    Part("active", "'true'", values.true),
    Part("name", "billing_provider.name", required=True),
    Part("type", "billing_provider.taxonomy", values.taxonomy),
    Part("telecom", "billing_provider.phone", values.phone),
    Part("address", "billing_provider.address", values.address),
)
"""The Organization of the billing provider, from gateway.yaml."""

PROVIDER_TABLE = "Claim.provider.resolve() (the billing provider, from gateway.yaml)"

CLAIM_TABLES: Mapping[str, Table] = {
    "Claim": CLAIM_ROWS,
    "Claim.careTeam (by role)": ROLE_ROWS,
    "Claim.careTeam": MEMBER_ROWS,
    "Claim.diagnosis": DIAGNOSIS_ROWS,
    "Claim.insurance": INSURANCE_ROWS,
    "Claim.item": ITEM_ROWS,
    "Organization (payer)": PAYER_ROWS,
    PROVIDER_TABLE: BILLING_PROVIDER_ROWS,
}
"""All tables by what they make, in words that `EhrAdapterInfo.rows` uses too; the targets are members of it."""
