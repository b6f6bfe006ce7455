"""The data files that a clinic day is drawn from."""

from __future__ import annotations

from gateway.canonical import codes
from gateway.sandbox.catalogue import load


def test_few_cpt_numbers_and_mostly_hcpcs_level_two() -> None:
    fees = load("fees")
    cpt = [code for code in fees if codes.procedure_system(code) == codes.CPT]
    hcpcs = [code for code in fees if codes.procedure_system(code) == codes.HCPCS]
    assert len(cpt) <= 12
    assert len(hcpcs) > 2 * len(cpt)
    assert len(cpt) + len(hcpcs) == len(fees)


def test_every_patient_finds_a_reason_in_every_specialty() -> None:
    for specialty in load("specialties").values():
        open_to_all = [v for v in specialty["visits"] if not v.get("payers") and not v.get("gender")]
        ages = {age for visit in open_to_all for age in range(visit["ages"][0], visit["ages"][1] + 1)}
        assert ages == set(range(95))


def test_the_catalogue_is_consistent() -> None:
    fees = load("fees")
    for specialty in load("specialties").values():
        for visit in specialty["visits"]:
            own = [*visit.get("primary", ()), *visit.get("with", ()), *visit.get("sides", {}).values()]
            own += [line["for"] for line in visit["lines"] if "for" in line]
            assert all(
                codes.icd10cm(code) == code for code in [*own, *specialty["also"]["adult"], *specialty["also"]["child"]]
            )
            assert all(code in fees for line in visit["lines"] for code in line["codes"])
            assert ("primary" in visit) != ("sides" in visit)
            assert len(visit["lines"]) <= 6


def test_all_npis_of_the_practice_have_their_check_digit() -> None:
    data = load("practice")
    npis = [row["npi"] for group in ("providers", "referrers", "locations") for row in data[group]]
    npis.append(data["organization"]["npi"])
    assert all(codes.npi_is_valid(npi) for npi in npis)
    assert len(npis) == len(set(npis))
    assert len(data["providers"]) == 10
    assert len({row["specialty"] for row in data["providers"]}) == 3
