"""The validation errors of CreateEncounter: an echo of the request with `<err>` after each bad value (section 6.1)."""

from __future__ import annotations

from html import escape
from typing import Any

from adapters.billing.kareo_tebra.simulator.parser import Values
from adapters.billing.kareo_tebra.simulator.replies import text_of
from adapters.billing.kareo_tebra.simulator.schema import Shape
from adapters.billing.kareo_tebra.simulator.types import SCHEMA

ERRORS = {
    "not_created": (6100, "Encounter was not created"),
    "practice": (6010, "Practice not found, please verify"),
    "patient": (6011, "Patient not found, please verify"),
    "case": (6012, "Case not found, please verify"),
    "case_of_other": (6013, "Case does not belong to the patient, please verify"),
    "provider": (6014, "Provider not found, please verify"),
    "provider_inactive": (6015, "Provider is not active, please verify"),
    "location": (6016, "Service location not found, please verify"),
    "place_of_service": (6017, "Place of service code not found, please verify"),
    "service_dates": (6018, "Service end date is before the start date, please verify"),
    "no_lines": (6020, "At least one service line is required, please verify"),
    "procedure": (6040, "Procedure code not found, please verify"),
    "modifier": (6041, "Procedure modifier not found, please verify"),
    "diagnosis": (6042, "Diagnosis code not found, please verify"),
    "units": (6043, "Units must be more than zero, please verify"),
    "unit_charge": (6044, "Unit charge must not be negative, please verify"),
}
"""Our name of a refusal -> the vendor's id and text. Only 6100 is the vendor's own number; the others are made up."""

Path = tuple[str | int, ...]
"""The place of a bad value in the request, such as ("ServiceLines", 0, "DiagnosisCode1")."""


class Findings:
    """The refusals of one request by the place of the bad value."""

    def __init__(self) -> None:
        self._by_path: dict[Path, str] = {}

    def __bool__(self) -> bool:
        return bool(self._by_path)

    def add(self, error: str, *path: str | int) -> None:
        """Refuse the value at `path`; the first refusal of a place stays."""
        self._by_path.setdefault(path, error)

    def echo(self, encounter: Values) -> str:
        """The unescaped text of ErrorMessage."""
        self.add("not_created")
        return f"<Encounter>{self._err(())}{self._members(SCHEMA.shapes['EncounterCreate'], encounter, ())}</Encounter>"

    def _members(self, shape: Shape, values: Values, path: Path) -> str:
        parts = []
        for member in shape.members:
            place = (*path, member.name)
            if member.name in values or place in self._by_path:
                content = self._content(member.type_name, values.get(member.name), place)
                parts.append(f"<{member.name}>{content}</{member.name}>")
        return "".join(parts)

    def _content(self, type_name: str, value: Any, place: Path) -> str:
        shape = SCHEMA.shapes.get(type_name)
        if isinstance(value, list) and shape:
            items = (self._members(shape, item, (*place, position)) for position, item in enumerate(value))
            return self._err(place) + "".join(f"<ServiceLine>{item}</ServiceLine>" for item in items)
        if shape:
            return self._err(place) + self._members(shape, value or {}, place)
        return ("" if value is None else text_of(value)) + self._err(place)

    def _err(self, path: Path) -> str:
        name = self._by_path.get(path)
        if name is None:
            return ""
        number, text = ERRORS[name]
        return f'<err id="{number}">{escape(text, quote=False)}</err>'
