"""The billing slip: what was done and shall be billed. Pure (section 6).

The names of the slip's members are not confirmed by a published answer of the API; all that reads them is here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapters.ehr.athenahealth.values import flag, number, rank, text
from gateway.canonical import codes
from gateway.canonical.errors import MappingError
from gateway.kit.ehr_reading import Rule
from gateway.kit.mapping import Row
from gateway.kit.shaping import shaped

Service = Mapping[str, Any]
_FLAGS = ("billforservice", "billforserviceyn")
_DIAGNOSES = ("icd10codes", "icd10code", "diagnosiscodes")
_CODE_MEMBERS = ("icd10code", "code", "diagnosiscode")


def procedure(value: Any) -> dict[str, Any]:
    """The procedure code before the first comma."""
    code = text(value).partition(",")[0].strip().upper()
    return codes.concept(codes.procedure_system(code) or codes.CPT, code)


SLIP_ROWS = (
    Row("productOrService", "service.procedurecode", procedure),
    Row("quantity.value", "service.units", number),
)
"""A line of the slip; there is no price: the clinic's fee schedule has it."""


def items(services: Sequence[Service], sequences: Mapping[str, int], serviced: str | None) -> list[dict[str, Any]]:
    """Claim.item of every service that is marked to be billed, in the slip's order.

    `sequences` gives the place of each ICD-10 code, as `plain` writes it. Raises `MappingError` when there is nothing
    to bill, and for a code that is no diagnosis of the encounter.
    """
    if not services:
        raise MappingError("services", _EMPTY, "Enter the charges on the encounter's billing slip in athenahealth.")
    ordered = sorted(enumerate(services), key=lambda pair: (rank(pair[1].get("ordering")), pair[0]))
    billed = [(i, service) for i, service in ordered if _is_billed(service, i)]
    if not billed:
        raise MappingError("services.billforservice", _NONE_BILLED, _MARK)
    return [
        {"sequence": sequence, **_item(service, sequences, f"services[{i}]", serviced)}
        for sequence, (i, service) in enumerate(billed, start=1)
    ]


def plain(code: Any) -> str:
    """An ICD-10 code without its dot, in upper case: the slip and the diagnoses may write it differently."""
    return text(code).replace(".", "").upper()


def _item(service: Service, sequences: Mapping[str, int], path: str, serviced: str | None) -> dict[str, Any]:
    fixed = {
        "careTeamSequence": [1],
        "servicedDate": serviced,
        "modifier": MODIFIERS.via(service),
        "diagnosisSequence": POINTERS.via(service, sequences, path),
    }
    return {**{name: value for name, value in fixed.items() if value}, **shaped(SLIP_ROWS, {"service": service})}


def _modifiers(service: Service) -> list[dict[str, Any]]:
    """Behind the commas of the code (`99213,25,GT`), else a list or a text with commas of their own."""
    own = service.get("modifiers")
    behind = text(service.get("procedurecode")).partition(",")[2] or own
    found = [text(part) for part in (behind if isinstance(behind, list) else text(behind).split(","))]
    return [codes.concept(codes.procedure_modifier_system(m.upper()), m) for m in found if m]


def _pointers(service: Service, sequences: Mapping[str, int], path: str) -> list[int]:
    """By the ICD-10 code's place among the diagnoses, each once."""
    held: Any = next((service[name] for name in _DIAGNOSES if service.get(name)), [])
    entries = held if isinstance(held, list) else text(held).split(",")
    wanted = [code for entry in entries if (code := plain(_icd10(entry)))]
    if any(code not in sequences for code in wanted):
        raise MappingError(f"{path}.icd10codes", _NOT_DIAGNOSED, "Correct the service's diagnoses in athenahealth.")
    return [sequences[code] for code in dict.fromkeys(wanted)]


def _icd10(entry: Any) -> Any:
    return next((entry[m] for m in _CODE_MEMBERS if m in entry), "") if isinstance(entry, dict) else entry


def _is_billed(service: Service, index: int) -> bool:
    marked = [service[name] for name in _FLAGS if name in service]
    if not marked:
        raise MappingError(f"services[{index}].billforservice", _UNMARKED, _MARK)
    return flag(marked[0])


def billed_codes(services: Iterable[Service]) -> list[str]:
    """The procedure codes that are marked to be billed, for the choice of an authorization."""
    return [text(s.get("procedurecode")).partition(",")[0] for s in services if any(flag(s.get(n)) for n in _FLAGS)]


_EMPTY = "the encounter's billing slip is empty, so there is nothing to bill"
_NONE_BILLED = "no service on the billing slip is marked to be billed"
_UNMARKED = "the billing slip does not say whether this service is billed"
_NOT_DIAGNOSED = "the service points at a diagnosis that the encounter does not have"
_MARK = "Mark the services to bill on the encounter's billing slip in athenahealth, or bill nothing for this visit."

MODIFIERS = Rule("modifier", "service.procedurecode | service.modifiers", _modifiers)
POINTERS = Rule("diagnosisSequence", "service.icd10codes | service.icd10code | service.diagnosiscodes", _pointers)
