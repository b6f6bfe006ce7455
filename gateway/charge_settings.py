"""The settings of a clinic's charge capture: its fee schedule and its charge map."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    Tag,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from gateway.canonical import codes
from gateway.canonical.charge_map import (
    OWN,
    ChargeMap,
    Coding,
    Kind,
    MapLine,
    MapRule,
    Rounding,
    UnitsOfTime,
    coding_of,
)
from gateway.canonical.errors import ConfigurationError
from gateway.canonical.fee_schedule import FeeSchedule, parse_fee_schedule
from gateway.settings_base import Npi, Strict

MEDICARE_UNIT = 15


def _procedure(code: str) -> str:
    canonical = code.strip().upper()
    if codes.procedure_system(canonical) is None:
        raise ValueError("is not a CPT or HCPCS code (five characters, such as G2211)")
    return canonical


def _line_code(code: str) -> str:
    return code if code == OWN else _procedure(code)


def _modifier(code: str) -> str:
    canonical = codes.modifier(code)
    if canonical is None:
        raise ValueError("is not a procedure modifier (two letters or digits)")
    return canonical


def _diagnosis(code: str) -> str:
    canonical = codes.icd10cm(code)
    if canonical is None:
        raise ValueError("is not in the form of an ICD-10-CM code")
    return canonical


def _coding(text: str) -> str:
    coding_of(text)
    return text


def _minutes(text: str) -> str:
    first, last = _span(text)
    if first > last:
        raise ValueError("ends before it begins")
    return text


def _span(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4})|\+)", text)
    if found is None:
        raise ValueError('is not a range of minutes such as "20-29" or "40+"')
    return int(found[1]), int(found[2] or _ENDLESS)


_ENDLESS = 10**6
Price = Annotated[Decimal, Field(ge=0, lt=10**7, allow_inf_nan=False)]
Procedure = Annotated[str, AfterValidator(_procedure)]
Modifiers = Annotated[tuple[Annotated[str, AfterValidator(_modifier)], ...], Field(max_length=4)]
Codes = tuple[Annotated[str, AfterValidator(_coding)], ...]


def _fees(value: Any, prices: ValidatorFunctionWrapHandler, info: ValidationInfo) -> FeeSchedule:
    """Prices by code, or the path of a CSV file relative to gateway.yaml."""
    if not isinstance(value, str):
        return FeeSchedule.flat(prices(value))
    file = Path((info.context or {}).get("folder", ".")) / value
    try:
        return parse_fee_schedule(file.read_text("utf-8"), str(file))
    except UnicodeDecodeError:
        raise ConfigurationError(str(file), "is not text in UTF-8.", "Save it as CSV in UTF-8.") from None
    except OSError as problem:
        raise ValueError(
            f"the file cannot be read ({problem.strerror}); the path is relative to gateway.yaml"
        ) from None


def _fee_schema(_: Any, schema: GetCoreSchemaHandler) -> CoreSchema:
    return core_schema.with_info_wrap_validator_function(_fees, schema(dict[Procedure, Price]))


FeeScheduleSetting = Annotated[FeeSchedule, GetPydanticSchema(_fee_schema)]


class WhenSettings(Strict):
    """The conditions of a rule; all that are given must hold."""

    encounter_type: Codes = Field(default=(), description="Codes of Encounter.type.")
    service_type: Codes = Field(default=(), description="Codes of Encounter.serviceType.")
    appointment_type: Codes = Field(default=(), description="Codes of Appointment.appointmentType.")
    document_type: Codes = Field(default=(), description="Codes of DocumentReference.type, of final documents.")
    charge_item: Codes = Field(default=(), description="Codes of ChargeItem.code, of billable ones.")
    procedure: Codes = Field(default=(), description="Codes of Procedure.code, of completed ones.")
    service_request: Codes = Field(default=(), description="Codes of ServiceRequest.code, of orders of this visit.")
    minutes: Annotated[str, AfterValidator(_minutes)] | None = Field(
        default=None, description='How long the visit was, both included: "20-29" or "40+".'
    )
    encounter_class: frozenset[str] = Field(default=frozenset(), description="Codes of Encounter.class: AMB, VR, HH.")
    practitioner: frozenset[Npi] = Field(default=frozenset(), description="NPIs of those who took part in the visit.")
    specialty: frozenset[str] = Field(default=frozenset(), description="Their NUCC taxonomy codes.")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("a rule needs a condition: without one it would bill every visit")
        return self

    @property
    def codes(self) -> Mapping[Kind, frozenset[Coding]]:
        """The codes asked for, by kind."""
        given = {kind: getattr(self, kind) for kind in Kind}
        return {kind: frozenset(map(coding_of, texts)) for kind, texts in given.items() if texts}


class UnitsOfTimeSettings(Strict):
    """Units by the length of the visit."""

    per: int = Field(ge=1, le=240, description="Minutes of one unit.")
    rule: Rounding = Field(description="eight_minute (Medicare), midpoint (CPT), up, or down.")

    def units(self) -> UnitsOfTime:
        """As the charge map has them."""
        return UnitsOfTime(self.per, self.rule)

    @model_validator(mode="after")
    def _of_fifteen(self) -> Self:
        if self.rule is Rounding.EIGHT_MINUTE and self.per != MEDICARE_UNIT:
            raise ValueError("the eight-minute rule is for units of 15 minutes; use midpoint, up or down")
        return self


def _either(structure: str, scalar: str) -> Callable[[Any], str]:
    """Which of two alternatives a value is meant to be, so that its mistakes are told and no others."""
    return lambda value: scalar if isinstance(value, str | int | float | Decimal) else structure


Units = Annotated[
    Annotated[Decimal, Field(gt=0, lt=10**5), Tag("number")] | Annotated[UnitsOfTimeSettings, Tag("minutes")],
    Discriminator(_either("minutes", "number")),
]
Pointers = Annotated[
    Annotated[Literal["all", "first"], Tag("word")]
    | Annotated[tuple[Annotated[str, AfterValidator(_diagnosis)], ...], Field(min_length=1), Tag("codes")],
    Discriminator(_either("codes", "word")),
]


class MapLineSettings(Strict):
    """A claim line that a rule makes."""

    code: Annotated[str, AfterValidator(_line_code)] = Field(
        description="CPT or HCPCS code; own: the one that the procedure, charge, order or type itself has."
    )
    modifiers: Modifiers = Field(default=(), description="Up to four modifiers, in order.")
    units: Units | None = Field(
        default=None, description="A number, or `per` and `rule`; else the ChargeItem's quantity, else 1."
    )
    diagnoses: Pointers = Field(
        default="all",
        description="all: the reasons of the procedure or charge, else the visit's first four diagnoses. first: the "
        "first one. A list: those of these ICD-10-CM codes that the visit has.",
    )
    fee: Price | None = Field(default=None, description="Price of one unit in USD; else the fee schedule's.")

    def line(self) -> MapLine:
        """The line as the charge map has it."""
        return MapLine(
            code=self.code,
            modifiers=self.modifiers,
            units=self.units.units() if isinstance(self.units, UnitsOfTimeSettings) else self.units,
            diagnoses=() if isinstance(self.diagnoses, str) else self.diagnoses,
            first_only=self.diagnoses == "first",
            fee=self.fee,
        )


class MapRuleSettings(Strict):
    """One rule of the charge map."""

    when: WhenSettings = Field(description="What must be there.")
    lines: tuple[MapLineSettings, ...] = Field(min_length=1, description="The claim lines that it makes, in order.")
    effective_from: date = Field(default=date.min, description="First date of service of the rule.")
    effective_to: date = Field(default=date.max, description="Last date of service of the rule.")

    @model_validator(mode="after")
    def _own_needs_a_thing(self) -> Self:
        if any(line.code == OWN for line in self.lines) and not self.when.codes:
            raise ValueError("a line with the code own needs a condition by code, whose code it takes")
        if self.effective_to < self.effective_from:
            raise ValueError("effective_to is before effective_from")
        return self

    def rule(self) -> MapRule:
        """The rule as the charge map has it."""
        return MapRule(
            lines=tuple(line.line() for line in self.lines),
            codes=self.when.codes,
            minutes=_span(self.when.minutes) if self.when.minutes else None,
            encounter_class=self.when.encounter_class,
            practitioner=self.when.practitioner,
            specialty=self.when.specialty,
            start=self.effective_from,
            end=self.effective_to,
        )


class ChargeMapSettings(Strict):
    """What is billed for what an EHR holds when it holds no charges."""

    rules: tuple[MapRuleSettings, ...] = Field(default=(), description="The rules; the order of lines is theirs.")
    ignore: Codes = Field(default=(), description="Codes of things that are not billed, on purpose.")
    on_unmapped: Literal["hold"] = Field(
        default="hold", description="What is there and neither mapped nor ignored is held, always."
    )

    def map(self) -> ChargeMap:
        """The charge map itself."""
        return ChargeMap((rule.rule() for rule in self.rules), map(coding_of, self.ignore))
