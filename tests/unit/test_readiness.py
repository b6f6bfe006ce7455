"""What `gateway check` says is missing before the first claim of a pair."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.canonical.clinic import ClinicFact
from gateway.charge_settings import ChargeMapSettings
from gateway.clinic_settings import ClinicSettings
from gateway.mapping_join import vendor_side
from gateway.ports.billing import BillingAdapterInfo
from gateway.ports.context import Probe
from gateway.ports.ehr import EhrAdapterInfo
from gateway.readiness import _FACTS, NOT_OF_THE_EHR, OF_EVERY_CLAIM, Pair, readiness
from gateway.registry import BILLING_GROUP, EHR_GROUP, adapter_names, load_adapter

ADDRESS = {"line": ["100 Clinic Way"], "city": "Tampa", "state": "FL", "postalCode": "33601-0001"}
SUPPLIES: dict[ClinicFact, dict[str, Any]] = {
    ClinicFact.CHARGES: {
        "charge_map": {"rules": [{"when": {"encounter_class": ["AMB"]}, "lines": [{"code": "G0101"}]}]}
    },
    ClinicFact.PRICES: {"fee_schedule": {"G0101": "1.00"}},
    ClinicFact.PAYER_ID: {"payer_ids": {"Sample Health Plan": "60054"}},
    ClinicFact.PLACE_OF_SERVICE: {"place_of_service": "11"},
    ClinicFact.FACILITY_NPI: {"locations": {"l": {"npi": "1245319599"}}},
    ClinicFact.FACILITY_ADDRESS: {"locations": {"l": {"address": ADDRESS}}},
    ClinicFact.PROVIDER_NPI: {"providers": {"d": {"npi": "1245319599"}}},
    ClinicFact.PROVIDER_TAXONOMY: {"providers": {"d": {"taxonomy": "207N00000X"}}},
    ClinicFact.BILLING_ADDRESS: {"address": {**ADDRESS, "postalCode": "33601"}},
    ClinicFact.BILLING_ZIP_PLUS_FOUR: {"address": ADDRESS},
    ClinicFact.BILLING_TAXONOMY: {"taxonomy": "207N00000X"},
}


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = {key: merged(one[key], other[key]) for key in one.keys() & other.keys() if isinstance(one[key], dict)}
    return {**one, **other, **both}


def a_clinic(*facts: ClinicFact) -> ClinicSettings:
    """A clinic whose configuration supplies these facts and no others."""
    given: dict[str, Any] = {}
    for fact in sorted(facts, key=list(ClinicFact).index):
        given = merged(given, SUPPLIES[fact])
    biller = {"name": "Sample", "npi": "1245319599", "tax_id": "12-3456789"}
    biller |= {name: given.pop(name) for name in ("address", "taxonomy") if name in given}
    link = {"x": {"adapter": "x"}}
    frame = {"name": "Sample", "timezone": "UTC", "billing_provider": biller, "ehr": link, "billing": link}
    return ClinicSettings.model_validate({**frame, **given})


def ehr(*, lacks: Any = (), may_lack: Any = (), bills_itself: bool = False) -> EhrAdapterInfo:
    info: EhrAdapterInfo = load_adapter(EHR_GROUP, "smart_fhir", "test")
    return replace(info, lacks=frozenset(lacks), may_lack=frozenset(may_lack), bills_itself=bills_itself)


def billing(name: str = "x12_837p") -> BillingAdapterInfo:
    info: BillingAdapterInfo = load_adapter(BILLING_GROUP, name, "test")
    return info


def told(clinic: ClinicSettings, of: EhrAdapterInfo, to: BillingAdapterInfo) -> list[Probe]:
    return readiness(Pair("clinics.lakeside", clinic, of, to))


@pytest.mark.parametrize("fact", sorted(OF_EVERY_CLAIM))
def test_what_neither_the_ehr_nor_the_configuration_has_is_to_fix(fact: ClinicFact) -> None:
    found = told(
        a_clinic(*(other for other in ClinicFact if other not in (fact, *_within(fact)))),
        ehr(lacks=ClinicFact),
        billing(),
    )
    missing = [probe for probe in found if not probe.ok]
    assert _FACTS[fact].what in [probe.what for probe in missing]
    assert all(probe.detail and probe.remedy.startswith("Fill clinics.lakeside.") for probe in missing)


def _within(fact: ClinicFact) -> tuple[ClinicFact, ...]:
    """A fact that cannot be supplied without this one."""
    return (ClinicFact.BILLING_ZIP_PLUS_FOUR,) if fact is ClinicFact.BILLING_ADDRESS else ()


@pytest.mark.parametrize("name", adapter_names(BILLING_GROUP))
def test_with_everything_supplied_nothing_is_missing(name: str) -> None:
    (line,) = told(a_clinic(*ClinicFact), ehr(lacks=ClinicFact), billing(name))
    assert line.ok
    assert line.what.startswith("nothing is missing")


def test_what_the_ehr_gives_need_not_be_supplied() -> None:
    found = told(a_clinic(*NOT_OF_THE_EHR), ehr(), billing())
    assert [probe.what for probe in found] == ["nothing is missing that every claim of this pair needs"]


def test_what_the_ehr_may_lack_is_told_and_is_no_mistake() -> None:
    found = told(a_clinic(*NOT_OF_THE_EHR), ehr(may_lack=[ClinicFact.CHARGES]), billing())
    assert all(probe.ok for probe in found)
    assert "clinics.lakeside.charge_map" in found[0].remedy


def test_only_what_this_billing_system_refuses_is_to_fix() -> None:
    five_digits = a_clinic(ClinicFact.BILLING_ADDRESS)
    assert [p.what for p in told(five_digits, ehr(), billing("x12_837p")) if not p.ok] == [
        "ZIP+4 of the billing provider"
    ]
    assert [p.what for p in told(five_digits, ehr(), billing("kareo_tebra")) if not p.ok] == []


def test_what_no_row_of_the_billing_adapter_takes_is_not_asked_for() -> None:
    words = [p.what for p in told(a_clinic(), ehr(lacks=[ClinicFact.PROVIDER_TAXONOMY]), billing("kareo_tebra"))]
    assert "taxonomy of the providers" not in words
    assert "taxonomy of the providers" in [
        p.what for p in told(a_clinic(), ehr(lacks=[ClinicFact.PROVIDER_TAXONOMY]), billing("x12_837p"))
    ]


def test_a_connection_whose_settings_decide_is_asked() -> None:
    info = replace(billing("kareo_tebra"), mapping_of=lambda _: ({}, {"Mine": ()}))
    perhaps = ehr(may_lack=[ClinicFact.FACILITY_NPI])
    assert "NPI of the facilities" in [p.what for p in told(a_clinic(), perhaps, info)]
    asked = readiness(Pair("clinics.lakeside", a_clinic(), perhaps, info, billing_settings=object()))
    assert "NPI of the facilities" not in [p.what for p in asked]


@pytest.mark.parametrize(("sources", "missing"), [((), []), (("charge_map", "procedure"), ["prices"])])
def test_what_an_ehr_connection_never_gives_is_to_fix(sources: tuple[str, ...], missing: list[str]) -> None:
    settings = SimpleNamespace(charge_sources=sources)
    of = load_adapter(EHR_GROUP, "smart_fhir", "test")
    clinic = a_clinic(*(fact for fact in ClinicFact if fact is not ClinicFact.PRICES))
    found = readiness(Pair("clinics.lakeside", clinic, of, billing("kareo_tebra"), ehr_settings=settings))
    assert [probe.what for probe in found if not probe.ok] == missing


def test_a_charge_map_with_a_fee_on_each_line_supplies_the_prices() -> None:
    rules = [{"when": {"encounter_class": ["AMB"]}, "lines": [{"code": "G0101", "fee": "52.65"}]}]
    clinic = a_clinic(*NOT_OF_THE_EHR).model_copy(
        update={"charge_map": ChargeMapSettings.model_validate({"rules": rules})}
    )
    assert [p.what for p in told(clinic, ehr(lacks=[ClinicFact.PRICES]), billing()) if not p.ok] == []


def test_an_ehr_that_bills_by_itself_is_told() -> None:
    (line, *_) = told(a_clinic(*ClinicFact), ehr(bills_itself=True), billing())
    assert (line.what, line.ok) == ("double billing", True)


def test_every_fact_is_in_words_and_its_key_is_one_of_the_clinics() -> None:
    assert list(_FACTS) == list(ClinicFact)
    keys = {re.split(r"\W", told_.key)[0] for told_ in _FACTS.values()}
    assert keys <= {*ClinicSettings.model_fields}


@pytest.mark.parametrize("name", adapter_names(BILLING_GROUP))
def test_what_an_adapter_says_it_needs_its_rows_take(name: str) -> None:
    info = billing(name)
    elements = [_FACTS[fact].element for fact in info.needs]
    found = vendor_side(info.rows, info.carried, dict.fromkeys([*elements, *info.carried]))
    assert [element for element in elements if not found[element]] == []
