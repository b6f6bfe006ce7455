"""The code tables of an 837P and the functions that rows use (sections 2 and 7 of the standards notes). Pure.

A function takes a FHIR value and gives the X12 text; `Unfit` says what is wrong with a value that X12 cannot take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

from adapters.billing.x12_837p.segments import Unfit
from adapters.billing.x12_837p.settings import FILING_CODES
from gateway.canonical.codes import ACT_CODE, codings, npi_is_valid
from gateway.kit.encoders import x12

RELATIONSHIPS: Mapping[str, str] = MappingProxyType(
    {"self": "18", "spouse": "01", "child": "19", "common": "53", "parent": "G8", "injured": "G8", "other": "G8"}
)
"""FHIR subscriber-relationship to element 1069."""

X12_RELATIONSHIPS = "https://codesystem.x12.org/005010/1069"
_OWN_RELATIONSHIPS = frozenset({"01", "18", "19", "20", "21", "39", "40", "53", "G8"})

SOPT = "https://nahdo.org/sopt"
SOPT_FILING: Mapping[str, str] = MappingProxyType(
    {
        **{"1": "MB", "111": "16", "11": "16", "112": "12", "113": "13"},
        **{"2": "MC", "3": "OF", "31": "CH", "32": "VA", "341": "TV", "4": "OF"},
        **{"5": "CI", "511": "HM", "512": "12", "513": "13", "514": "14", "515": "12", "521": "15"},
        **{"6": "BL", "7": "CI", "71": "HM", "72": "12", "73": "13"},
        **{"93": "DS", "95": "WC", "96": "AM", "97": "LM"},
    }
)
"""Source of Payment Typology to SBR09, by the longest beginning of the code."""

ACT_FILING: Mapping[str, str] = MappingProxyType(
    {
        **{"MCPUBLIC": "MB", "SUBPRG": "MC", "MILITARY": "CH", "VET": "VA", "HIP": "CI", "EHCPOL": "CI", "HMO": "HM"},
        **{"PPO": "12", "POS": "13", "WCBPOL": "WC", "AUTOPOL": "AM", "PUBLICPOL": "OF"},
    }
)
"""v3-ActCode of a coverage's type to SBR09."""

ACCIDENTS: Mapping[str, str] = MappingProxyType({"MVA": "AA", "WPA": "EM", "SCHOOL": "OA", "SPT": "OA", "OTH": "OA"})
"""Accident type (v3-ActCode) to CLM11; any other accident is OA."""

MEASURES = frozenset({"UN", "ML", "GR", "ME", "F2"})
_GENDERS = {"male": "M", "female": "F"}
_GENERATIONS = frozenset({"JR", "SR", "I", "II", "III", "IV", "V", "VI"})
_CANADIAN = re.compile(r"[A-Z]\d[A-Z]\d[A-Z]\d")
_PO_BOX = re.compile(r"\bP(?:OST)?[. ]*O(?:FFICE)?[. ]*BOX\b")
_ZIP_FIX = "Complete the postal code with its four further digits (ZIP+4)."


def filing_code(coverage: dict[str, Any], default: str) -> str:
    """SBR09 of a coverage by its type: an SBR09 code, else the Source of Payment Typology, else v3-ActCode."""
    words = [(coding.get("system"), str(coding.get("code", "")).upper()) for coding in codings(coverage.get("type"))]
    plain = [code for system, code in words if system not in (SOPT, ACT_CODE)]
    payment = [code[:n] for system, code in words if system == SOPT for n in range(len(code), 0, -1)]
    found = [code for code in plain if code in FILING_CODES]
    found += [SOPT_FILING[code] for code in payment if code in SOPT_FILING]
    found += [ACT_FILING[code] for _, code in words if code in ACT_FILING]
    return next(iter(found), default)


def relationship(coverage: dict[str, Any]) -> str:
    """Element 1069 of a coverage: X12's own code where one is kept, else by the FHIR code."""
    found = ""
    for coding in codings(coverage.get("relationship")):
        code = str(coding.get("code", ""))
        if coding.get("system") == X12_RELATIONSHIPS and code in _OWN_RELATIONSHIPS:
            return code
        found = found or RELATIONSHIPS.get(code, "")
    return found


def accident_cause(code: str) -> str:
    """AA motor, EM at work, OA any other (CLM11-1)."""
    return ACCIDENTS.get(code, "OA")


def full_day(value: str) -> str:
    """CCYYMMDD; a month or a year alone is refused."""
    try:
        return f"{date.fromisoformat(value[:10]):%Y%m%d}"
    except ValueError:
        raise Unfit("a full date is needed: year, month and day", "Complete the date in the EHR.") from None


def gender(value: str) -> str:
    """M, F or U (DMG03)."""
    return _GENDERS.get(value, "U")


def generation(value: str) -> str | None:
    """NM107 tells generations apart (JR, III); degrees such as MD are no part of the name."""
    found = x12.text(value).replace(".", "")
    return found if found in _GENERATIONS else None


def npi(value: str) -> str:
    """The NPI; its check digit must be right, which no check of the syntax looks at."""
    if not npi_is_valid(value):
        raise Unfit("the NPI has not ten digits or its check digit is wrong", "Look the NPI up in NPPES.")
    return value


def tax_id(value: str) -> str:
    """Nine digits without the hyphen."""
    found = x12.digits(value)
    if len(found) != 9:
        raise Unfit("a tax id has nine digits", "Correct tax_id in the clinic's configuration.")
    return found


def zip_code(value: str) -> str:
    """Five or nine digits, or a Canadian code."""
    canadian = x12.exact(value).replace(" ", "")
    if _CANADIAN.fullmatch(canadian):
        return canadian
    found = x12.digits(value)
    if len(found) not in (5, 9):
        raise Unfit("a postal code has five or nine digits", "Correct the address.")
    return found


def zip_plus_four(value: str) -> str:
    """Nine digits, as billing and service addresses need them (section 1)."""
    found = x12.digits(value)
    if len(found) != 9:
        raise Unfit("this address needs the postal code with nine digits (ZIP+4)", _ZIP_FIX)
    return found


def street(value: str) -> str:
    """A street address: the billing provider's may not be a post box (section 2)."""
    found = x12.text(value)
    if _PO_BOX.search(found):
        fix = "Give the street address; a post box belongs into the payer's own enrolment."
        raise Unfit("the billing address may not be a post box", fix)
    return found


def country(value: str) -> str | None:
    """The country of an address abroad; left out at home (N404)."""
    found = x12.exact(value)
    return None if found in ("US", "USA", "UNITED STATES") else found


def telephone(value: str) -> str | None:
    """Ten digits, or none when the value is no telephone number of the North American plan."""
    found = x12.digits(value)
    found = found[1:] if len(found) == 11 and found.startswith("1") else found
    return found if len(found) == 10 else None


def icd10(value: str) -> str:
    """A diagnosis code without its dot."""
    return x12.exact(value).replace(".", "")


def ndc(value: str) -> str:
    """Eleven digits; the shorter parts of a written code (4-4-2, 5-3-2, 5-4-1) get their leading zeros."""
    parts = value.split("-")
    widths = (5, 4, 2) if len(parts) == 3 else (0,) * len(parts)
    found = x12.digits("".join(part.zfill(width) for part, width in zip(parts, widths, strict=True)))
    if len(found) != 11:
        raise Unfit("a drug code has eleven digits (5-4-2)", "Give the NDC with leading zeros.")
    return found


def measure(value: str) -> str:
    """UN, ML, GR, ME or F2 (CTP05-1)."""
    found = value.upper()
    if found not in MEASURES:
        raise Unfit("a drug is measured in UN, ML, GR, ME or F2", "Correct the unit of the drug.")
    return found


def units(value: str) -> str:
    """SV103: units, or the minutes of anaesthesia."""
    if value not in ("UN", "MJ"):
        raise Unfit("a service is counted in units (UN) or minutes (MJ)", "Correct the unit of the line.")
    return value


def coded_npi(value: str) -> str:
    """XX (NM108): only beside an NPI."""
    return "XX"


def paid(value: Any) -> str | None:
    """An amount; nothing paid is no payment."""
    return x12.amount(value) if value else None
