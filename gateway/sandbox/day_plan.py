"""What is planned for a clinic day before it becomes FHIR: people, insurance, visits and charge lines as staff enter
them. Entry errors are put into these plans; `day_records` and `day_charges` then write them as an EHR holds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address in Illinois, with invented streets."""

    line: str
    city: str
    postal_code: str
    state: str = "IL"


@dataclass(frozen=True, slots=True)
class Provider:
    """A practitioner of the clinic, or one outside it who refers patients."""

    id: str
    npi: str
    family: str
    given: str
    credential: str
    gender: str
    specialty: str
    taxonomy: str
    location: str = ""
    supervisor: str = ""


@dataclass(frozen=True, slots=True)
class Payer:
    """A payer; `member_id` is its pattern: # a digit, @ a letter, * either, anything else itself."""

    id: str
    payer_id: str
    name: str
    plan: str
    kind: str
    act_code: str
    sopt: str
    member_id: str


@dataclass(slots=True)
class Person:
    """A patient or a relative. `family` is empty and `birth_date` or `address` None where nobody entered them."""

    family: str
    given: list[str]
    gender: str
    birth_date: date | None
    address: Address | None
    phone: str
    suffix: str = ""


@dataclass(slots=True)
class Relative:
    """A related person of a patient; `role` is a code of v3-RoleCode (MTH, FTH, SPS)."""

    role: str
    person: Person


@dataclass(slots=True)
class Insurance:
    """One coverage of a patient; `subscriber` is None when the patient is it. `member_id_as` is where it is written:
    in `subscriberId`, in an `identifier` of type MB, or in both."""

    payer: Payer
    member_id: str
    member_id_as: str
    group: str
    start: date
    relationship: str = "self"
    subscriber: Relative | None = None
    order: int = 1
    status: str = "active"
    end: date | None = None


@dataclass(slots=True)
class PatientFile:
    """A patient with everything the front desk keeps. `lapsed` are old coverages that must not be billed."""

    number: int
    person: Person
    insurances: list[Insurance]
    relatives: list[Relative] = field(default_factory=list)
    lapsed: list[Insurance] = field(default_factory=list)

    @property
    def payer_kind(self) -> str:
        """The kind of the first payer; empty when there is no coverage."""
        return self.insurances[0].payer.kind if self.insurances else ""


@dataclass(slots=True)
class Diagnosis:
    """A diagnosis of a visit: an ICD-10-CM code, a SNOMED CT code, or both."""

    icd10: str
    snomed: str = ""


@dataclass(slots=True)
class Line:
    """One charge line. `pointers` are positions (from 1) in the visit's diagnoses; price in USD per unit."""

    code: str
    system: str
    modifiers: list[str]
    quantity: int
    unit_price: Decimal
    pointers: list[int]
    authorize: bool = False


@dataclass(slots=True)
class Visit:
    """One encounter with its diagnoses and charges. `start` and `signed` are instants in the clinic's zone.

    `charged_as` is the EHR's way of holding charges: a draft `Claim`, or `ChargeItem`s. `mistyped` gives the NPI that
    someone entered wrongly, by role (`rendering`, `referring`).
    """

    number: int
    file: PatientFile
    provider: Provider
    telehealth: bool
    injury: bool
    diagnoses: list[Diagnosis]
    lines: list[Line]
    start: datetime
    minutes: int
    signed: datetime
    charged_as: str
    written_in_utc: bool
    place_of_service: str
    referrer: Provider | None = None
    referral_number: str = ""
    authorization: str = ""
    diagnoses_by_reference: bool = False
    listed_out_of_rank: bool = False
    entry_error: str = CLEAN
    mistyped: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The visit's number as it stands in resource ids."""
        return f"{self.number:04d}"

    @property
    def encounter_id(self) -> str:
        """The id of the visit's Encounter."""
        return f"enc-{self.key}"
