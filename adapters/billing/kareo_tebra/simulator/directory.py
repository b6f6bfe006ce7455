"""The practice that a simulator serves: rows of the vendor's list reads, made from a vendor-neutral directory.

Ids are given in the order of the directory: practice 4, providers from 11, locations from 13, companies from 301,
plans from 401, procedure codes from 501.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

PRACTICE_ID = "4"
Row = dict[str, Any]
"""One data row: every column of its type, None where there is no value."""

DEFAULT_DIRECTORY: dict[str, Any] = {
    "practice": {
        "name": "Lakeside Dermatology",
        "npi": "1234567893",
        "tax_id": "123456789",
        "address": {"line": ["12 Harbor Street"], "city": "Springfield", "state": "IL", "postalCode": "62701"},
        "phone": "217-555-0100",
    },
    "providers": [
        {"npi": "1679576722", "family": "Okafor", "given": "Adaeze", "taxonomy": "207N00000X"},
        {"npi": "1245319599", "family": "Lindqvist", "given": "Sven", "taxonomy": "363A00000X"},
    ],
    "locations": [
        {
            "name": "Lakeside Main",
            "npi": "1881018208",
            "place_of_service": "11",
            "address": {"line": ["12 Harbor Street"], "city": "Springfield", "state": "IL", "postalCode": "62701"},
        }
    ],
    "payers": [
        {"payer_id": "60054", "name": "Prairie Health Plan", "plan": "Prairie PPO"},
        {"payer_id": "00621", "name": "Medicare Part B Illinois", "plan": "Medicare Part B"},
    ],
    "procedures": ["17000", "99213", "G0439", "J3301", "Q0091"],
    "fees": {"17000": "145.00", "99213": "120.00", "G0439": "135.00", "J3301": "18.50", "Q0091": "52.00"},
}
"""A small dermatology practice, all synthetic."""


@dataclass(slots=True)
class Plan:
    """An insurance plan of the account's own table."""

    plan_id: str
    name: str


@dataclass(slots=True)
class Company:
    """An insurance company of the account's own table, with its plans."""

    company_id: str
    name: str
    plans: list[Plan] = field(default_factory=list)


@dataclass(slots=True)
class Directory:
    """What the account holds before any call: rows by id, the fee schedule, and the insurance companies."""

    practice: Row
    providers: dict[str, Row]
    locations: dict[str, Row]
    procedures: dict[str, Row]
    fees: dict[str, Decimal]
    companies: list[Company]
    practice_of: dict[str, str]

    @property
    def practice_name(self) -> str:
        """The practice's name as users see it."""
        return str(self.practice["PracticeName"])


def load_directory(data: dict[str, Any]) -> Directory:
    """Build the account from the directory of `SimulatorOptions.data`.

    A provider may carry `active` ("false" for one who left); a provider or location may carry `practice_id` when it
    belongs to another practice of the same account.
    """
    practice = _practice(data["practice"])
    providers = [_provider(entry, practice, 11 + place) for place, entry in enumerate(data["providers"])]
    locations = [_location(entry, practice, 13 + place) for place, entry in enumerate(data["locations"])]
    procedures = [_procedure(code, 501 + place) for place, code in enumerate(data.get("procedures", []))]
    owners = {f"provider/{row['ID']}": _owner(entry) for row, entry in zip(providers, data["providers"], strict=True)}
    owners |= {f"location/{row['ID']}": _owner(entry) for row, entry in zip(locations, data["locations"], strict=True)}
    return Directory(
        practice=practice,
        providers={row["ID"]: row for row in providers},
        locations={row["ID"]: row for row in locations},
        procedures={row["ProcedureCode"]: row for row in procedures},
        fees={code: Decimal(str(price)) for code, price in data.get("fees", {}).items()},
        companies=_companies(data.get("payers", [])),
        practice_of=owners,
    )


def _owner(entry: dict[str, Any]) -> str:
    return str(entry.get("practice_id", PRACTICE_ID))


def _practice_name(entry: dict[str, Any], practice: Row) -> str:
    owner = _owner(entry)
    return str(practice["PracticeName"]) if owner == PRACTICE_ID else f"Practice {owner}"


def _address(entry: dict[str, Any]) -> tuple[str | None, str | None, str | None, str | None, str | None]:
    address = entry.get("address") or {}
    lines = [*address.get("line", []), None, None]
    return lines[0], lines[1], address.get("city"), address.get("state"), address.get("postalCode")


def _practice(entry: dict[str, Any]) -> Row:
    line1, line2, city, state, postal_code = _address(entry)
    return {
        "Active": "True",
        "ID": PRACTICE_ID,
        "NPI": entry.get("npi"),
        "Phone": entry.get("phone"),
        "PracticeAddressLine1": line1,
        "PracticeAddressLine2": line2,
        "PracticeCity": city,
        "PracticeName": entry["name"],
        "PracticeState": state,
        "PracticeZipCode": postal_code,
        "TaxID": entry.get("tax_id"),
    }


def _provider(entry: dict[str, Any], practice: Row, number: int) -> Row:
    return {
        "Active": "False" if str(entry.get("active", "true")).lower() == "false" else "True",
        "FirstName": entry["given"],
        "FullName": f"{entry['given']} {entry['family']}",
        "ID": str(number),
        "LastName": entry["family"],
        "NationalProviderIdentifier": entry.get("npi"),
        "PracticeName": _practice_name(entry, practice),
        "SpecialtyName": entry.get("taxonomy"),
        "Type": "Normal Provider",
    }


def _location(entry: dict[str, Any], practice: Row, number: int) -> Row:
    line1, line2, city, state, postal_code = _address(entry)
    return {
        "AddressLine1": line1,
        "AddressLine2": line2,
        "BillingName": entry["name"],
        "City": city,
        "ID": str(number),
        "NPI": entry.get("npi"),
        "Name": entry["name"],
        "PlaceOfService": entry.get("place_of_service"),
        "PracticeID": _owner(entry),
        "PracticeName": _practice_name(entry, practice),
        "State": state,
        "ZipCode": postal_code,
    }


def _procedure(code: str, number: int) -> Row:
    return {
        "Active": "True",
        "BillableCode": code,
        "CustomerSpecific": "False",
        "DefaultUnits": "1",
        "ID": str(number),
        "ProcedureCode": code,
    }


def _companies(payers: list[dict[str, Any]]) -> list[Company]:
    companies: dict[str, Company] = {}
    for place, payer in enumerate(payers):
        company = companies.setdefault(payer["name"], Company(str(301 + len(companies)), payer["name"]))
        company.plans.append(Plan(str(401 + place), payer.get("plan") or payer["name"]))
    return list(companies.values())


def insurance_plans(payers: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """The account's ids of each payer by its payer id, as an integration engineer would look them up on the screen."""
    plans = [(company, plan) for company in _companies(payers) for plan in company.plans]
    by_plan = {plan.plan_id: company.company_id for company, plan in plans}
    return {
        payer["payer_id"]: {"company_id": int(by_plan[str(401 + place)]), "plan_id": 401 + place}
        for place, payer in enumerate(payers)
    }
