"""The simulated office: profiles, facilities, carriers and code tables with AdvancedMD's kinds of ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

DEFAULT_DIRECTORY: dict[str, Any] = {
    "practice": {"name": "Lakeside Dermatology", "npi": "1234567893"},
    "providers": [
        {"npi": "1679576722", "family": "Stone", "given": "Alan"},
        {"npi": "1245319599", "family": "Reed", "given": "Beth"},
    ],
    "locations": [{"name": "Lakeside Main", "npi": "1999999984", "place_of_service": "11"}],
    "payers": [{"payer_id": "60054", "name": "Pine Health Plan"}, {"payer_id": "87726", "name": "Harbor Mutual"}],
    "procedures": ["99213", "17000", "17003"],
    "fees": {"99213": "120.00", "17000": "145.00", "17003": "24.00"},
}

_MODIFIERS = """22 23 24 25 26 27 32 33 47 50 51 52 53 54 55 56 57 58 59 62 63 66 76 77 78 79 80 81 82 90 91 92 93 95 96
97 99 AA AD AI AQ AS AT CS E1 E2 E3 E4 F1 F2 F3 F4 F5 F6 F7 F8 F9 FA FQ FS FT G0 GA GC GE GQ GT GV GW GX GY GZ JW JZ KX
LC LD LT NU P1 P2 P3 P4 P5 P6 PT Q5 Q6 QK QW QX QY QZ RC RR RT SA T1 T2 T3 T4 T5 T6 T7 T8 T9 TA TC UE UN XE XP XS XU"""
PREFIXES = {"procedure": "pcode", "diagnosis": "dcode", "modifier": "mcode"}


@dataclass(slots=True)
class Entry:
    """A row of a lookup table."""

    entry_id: str
    code: str
    name: str
    npi: str = ""


@dataclass(slots=True)
class CodeTable:
    """Codes with ids. An open table knows every code that is asked for: AdvancedMD's own ICD-10 table is complete."""

    prefix: str
    is_open: bool = False
    by_code: dict[str, Entry] = field(default_factory=dict)

    def add(self, code: str) -> Entry:
        """The entry of a code, made when absent."""
        if code not in self.by_code:
            number = f"{self.prefix}{1001 + len(self.by_code)}"
            self.by_code[code] = Entry(number, code, f"Description of {code}")
        return self.by_code[code]

    def like(self, code: str, *, exact: bool) -> list[Entry]:
        """The entries that begin with a text; the exact one comes last, as AdvancedMD promises no order."""
        wanted = code.strip().upper()
        if self.is_open and wanted:
            self.add(wanted)
            if not exact:
                self.add(f"{wanted}9")
        found = [entry for known, entry in self.by_code.items() if known.startswith(wanted)]
        return [e for e in found if e.code == wanted] if exact else sorted(found, key=lambda e: e.code, reverse=True)

    def of_id(self, entry_id: str) -> Entry | None:
        """The entry with an id, prefixed or as a number."""
        number = "".join(filter(str.isdigit, entry_id))
        return next((e for e in self.by_code.values() if e.entry_id == f"{self.prefix}{number}"), None)


@dataclass(slots=True)
class Directory:
    """Everything that is set up in the office before the first patient."""

    profiles: list[Entry]
    facilities: list[Entry]
    carriers: list[Entry]
    procedures: CodeTable
    diagnoses: CodeTable
    modifiers: CodeTable
    fees: dict[str, Decimal]


def load_directory(data: dict[str, Any]) -> Directory:
    """The office of a practice directory (the shape of `DEFAULT_DIRECTORY`)."""
    procedures, modifiers = CodeTable(PREFIXES["procedure"]), CodeTable(PREFIXES["modifier"])
    for code in data["procedures"]:
        procedures.add(str(code))
    for code in _MODIFIERS.split():
        modifiers.add(code)
    profiles = (
        Entry(f"prof{3 + i}", f"P{i}", f"{p['family']},{p['given']}".upper(), p["npi"])
        for i, p in enumerate(data["providers"])
    )
    facilities = (Entry(f"fac{1 + i}", f"F{i}", p["name"].upper(), p["npi"]) for i, p in enumerate(data["locations"]))
    carriers = (
        Entry(f"car{40881 + i}", p.get("payer_id") or f"C{i}", p["name"].upper()) for i, p in enumerate(data["payers"])
    )
    return Directory(
        list(profiles),
        list(facilities),
        list(carriers),
        procedures,
        CodeTable(PREFIXES["diagnosis"], is_open=True),
        modifiers,
        {code: Decimal(str(fee)) for code, fee in data.get("fees", {}).items()},
    )
