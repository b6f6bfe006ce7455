"""Superbills and encounters over a real Postgres: whichever comes first, one claim; what is unclear is held."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.canonical import codes
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.fee_schedule import FeeSchedule
from gateway.canonical.models import EncounterBundle, EncounterRecord, EncounterRef, Notification, NotificationRequest
from gateway.canonical.superbill import Keys, Layout, Visit
from gateway.kit.ehr_adapter import EhrBase
from gateway.kit.ehr_normalize import normalize
from gateway.kit.ehr_rows import US_CORE
from gateway.kit.ehr_source import Dialect
from gateway.kit.ehr_visit import visit_of
from gateway.kit.file_drop import FolderDrop
from gateway.pipeline.receive import receive
from gateway.pipeline.superbill import Intake, superbills_job, take_file
from gateway.ports.billing import BillingCapability
from gateway.ports.superbills import SuperbillLink
from gateway.store.postgres import PostgresStore
from gateway.superbill_intake import DropPlace

CLINIC = "clinic-a"
NPI = "1679576722"
HEADER = "superbill_id,mrn,serviced_date,rendering_npi,diagnosis_1,product_or_service,quantity,charge,status\n"
SIGNED = ["finished", "submitted"]


def line(number: str = "SB-1", mrn: str = "AB123456", **changes: str) -> str:
    cells = {
        "superbill_id": number,
        "mrn": mrn,
        "serviced_date": "2026-03-03",
        "rendering_npi": NPI,
        "diagnosis_1": "L57.0",
        "product_or_service": "99213",
        "quantity": "1",
        "charge": "120.00",
        "status": "Ready for biller",
    }
    return ",".join({**cells, **changes}.values()) + "\n"


def superbill_file(*lines: str) -> bytes:
    return (HEADER + "".join(lines)).encode()


class Ehr(EhrBase):
    """Serves encounters of one patient each, without charges: those come in superbills."""

    vendor = "fake"

    def __init__(self, bundle: EncounterBundle, clinic: ClinicFacts) -> None:
        self.clinic = clinic
        self.fetched = 0
        self._bundle = bundle
        self.records: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}

    def put(self, encounter_id: str, mrn: str = "AB123456", status: str = "finished") -> None:
        self.records[encounter_id] = {"mrn": mrn, "status": status}
        self.versions[encounter_id] = self.versions.get(encounter_id, 0) + 1

    def verify_notification(self, request: NotificationRequest) -> None:
        return None

    def parse_notification(self, request: NotificationRequest) -> Notification:
        name = request.body.decode()
        return Notification((EncounterRef(name, f"{name}@{self.versions[name]}"),))

    async def fetch_encounter(self, ref: EncounterRef) -> EncounterRecord:
        self.fetched += 1
        held = self.records[ref.encounter_id]
        number = {"type": codes.concept(codes.IDENTIFIER_TYPE, "MR"), "value": held["mrn"]}
        patient, *others = (_at_the_ehr(r) for r in self._bundle.resources)
        encounter = {**_at_the_ehr(self._bundle.encounter), "id": ref.encounter_id, "status": held["status"]}
        resources = ({**patient, "identifier": [number]}, *others)
        return EncounterRecord(ref, "https://ehr.example.test", encounter, resources)

    def visit(self, record: EncounterRecord) -> Visit:
        return visit_of(record, "ehr", self.clinic, self.dialect)

    dialect = Dialect(charge_sources=("superbill",), watch_unsigned=True)

    def normalize(self, record: EncounterRecord) -> EncounterBundle:
        return normalize(record, connection="ehr", clinic=self.clinic, dialect=self.dialect, maps=US_CORE)


def _at_the_ehr(resource: Mapping[str, Any]) -> dict[str, Any]:
    """A canonical resource under the EHR's ids."""
    text = repr({name: value for name, value in resource.items() if name not in ("meta", "order")})
    return dict(eval(text.replace("'ehr.", "'").replace("/ehr.", "/")))


class Office:
    """The world of a clinic whose charges come in superbills."""

    def __init__(self, world: Any, ehr: Ehr) -> None:
        self.world, self.ehr = world, ehr

    async def sign(self, encounter_id: str, mrn: str = "AB123456", status: str = "finished") -> None:
        self.ehr.put(encounter_id, mrn, status)
        request = NotificationRequest("POST", "", {}, {}, encounter_id.encode(), "192.0.2.7")
        await receive(self.world.pipeline, CLINIC, "ehr", request)
        await self.world.work()

    async def take(self, *lines: str) -> Intake:
        intake = await take_file(self.world.pipeline, CLINIC, superbill_file(*lines), source="test")
        await self.world.work()
        return intake

    async def states(self) -> list[tuple[str, str]]:
        async with self.world.store.acquire() as connection:
            rows = await connection.fetch("select ehr_encounter_id, state from encounter order by 1")
        return [tuple(row) for row in rows]


@pytest.fixture
def link() -> SuperbillLink:
    return SuperbillLink("ehr", Layout(), Keys(b"0123456789abcdef", CLINIC, "ehr"))


@pytest.fixture
async def office(world: Any, encounter_bundle: EncounterBundle, clinic: ClinicFacts, link: SuperbillLink) -> Office:
    ehr = Ehr(encounter_bundle, clinic)
    world.ehr_ = ehr
    world.capabilities = frozenset({BillingCapability.FIND_SUBMISSION, BillingCapability.CORRECT})
    world.pipeline = replace(world.pipeline, superbills={CLINIC: link})
    return Office(world, ehr)


async def test_the_encounter_first_waits_without_a_hold_and_goes_on_by_itself(office: Office) -> None:
    await office.sign("e1")
    assert (await office.states(), await office.world.findings()) == ([("e1", "received")], [])
    intake = await office.take(line())
    assert (intake.taken.new, [e.ehr_encounter_id for e in intake.taken.encounters]) == (1, ["e1"])
    assert (await office.states(), office.world.billing_.saved) == ([("e1", "submitted")], ["120.00"])


async def test_the_superbill_first_is_kept_and_found(office: Office) -> None:
    intake = await office.take(line())
    assert (intake.taken.new, intake.taken.encounters) == (1, ())
    assert len(await office.world.store.report("superbills", CLINIC)) == 1
    await office.sign("e1")
    assert (await office.states(), office.world.billing_.saved) == ([("e1", "submitted")], ["120.00"])
    assert await office.world.store.report("superbills", CLINIC) == [], "it is matched now"


async def test_a_waiting_encounter_does_not_bother_the_ehr(office: Office) -> None:
    await office.sign("e1")
    delay = "select extract(epoch from run_at - clock_timestamp()) from job where kind = 'normalize'"
    assert await office.world.one(delay) > 5 * 3600
    assert office.ehr.fetched == 1


async def test_the_same_file_again_and_the_same_superbill_in_another_file_change_nothing(office: Office) -> None:
    await office.sign("e1")
    await office.take(line())
    again = await office.take(line())
    other = await office.take(line(), line("SB-2", "ZZ000001"))
    assert (again.taken.new, again.taken.changed, again.taken.unchanged) == (0, 0, 1)
    assert (other.taken.new, other.taken.changed, other.taken.unchanged) == (1, 0, 1)
    assert (office.world.billing_.sent, office.ehr.fetched) == (1, 2)


async def test_a_changed_superbill_replaces_the_former_and_the_claim_is_corrected(office: Office) -> None:
    await office.sign("e1")
    await office.take(line())
    changed = await office.take(line(quantity="2", charge="240.00"))
    assert (changed.taken.new, changed.taken.changed) == (0, 1)
    assert [saved.partition("~")[0] for saved in office.world.billing_.saved] == ["120.00", "240.00"]
    assert office.world.billing_.saved[1].endswith("~7"), "as a replacement of the claim on file"


async def test_an_old_file_that_comes_again_changes_nothing_back_and_a_new_one_may(office: Office) -> None:
    await office.sign("e1")
    await office.take(line())
    await office.take(line(charge="130.00"))
    await office.take(line())
    assert len(office.world.billing_.saved) == 2
    await office.take(line(), line("SB-9", "ZZ000009"))
    assert [saved.partition("~")[0] for saved in office.world.billing_.saved] == ["120.00", "130.00", "120.00"]


async def test_the_same_file_read_with_another_column_map_is_news(office: Office, link: SuperbillLink) -> None:
    await office.sign("e1")
    await office.take(line(charge="60.00", quantity="2"))
    read_anew = replace(link, layout=Layout(columns={"unit_price": "charge"}))
    office.world.pipeline = replace(office.world.pipeline, superbills={CLINIC: read_anew})
    await office.take(line(charge="60.00", quantity="2"))
    assert [saved.partition("~")[0] for saved in office.world.billing_.saved] == ["60.00", "120.00"]


async def test_zero_means_the_fee_schedule(office: Office, clinic: ClinicFacts) -> None:
    fees = FeeSchedule.flat({"99213": Decimal(88)})
    office.world.pipeline = replace(office.world.pipeline, clinics={CLINIC: replace(clinic, fee_schedule=fees)})
    await office.sign("e1")
    await office.take(line(charge="0.00"))
    assert office.world.billing_.saved == ["88.00"]


async def test_two_encounters_of_one_visit_are_held_and_never_guessed(office: Office) -> None:
    await office.sign("e1")
    await office.sign("e2")
    await office.take(line())
    assert await office.states() == [("e1", "held"), ("e2", "held")]
    assert await office.world.findings() == ["superbill-ambiguous"] * 2
    await office.sign("e2", status="entered-in-error")
    await office.sign("e1")
    assert await office.states() == [("e1", "submitted"), ("e2", "withdrawn")]


async def test_an_encounter_that_has_its_superbill_keeps_it_when_another_one_appears(office: Office) -> None:
    await office.sign("e1")
    await office.take(line())
    await office.sign("e2")
    assert await office.states() == [("e1", "submitted"), ("e2", "held")]
    await office.take(line(charge="130.00"))
    assert [saved.partition("~")[0] for saved in office.world.billing_.saved] == ["120.00", "130.00"]
    assert await office.states() == [("e1", "submitted"), ("e2", "held")]


async def test_two_superbills_of_one_visit_are_held(office: Office) -> None:
    await office.sign("e1")
    await office.take(line("SB-1"), line("SB-2"))
    assert (await office.states(), await office.world.findings()) == ([("e1", "held")], ["superbill-ambiguous"])
    await office.take(line("SB-2", status="Draft"), line("SB-3", "ZZ000001"))
    assert (await office.states(), office.world.billing_.saved) == ([("e1", "submitted")], ["120.00"])


async def test_a_draft_is_not_billed_until_it_is_ready(office: Office) -> None:
    await office.sign("e1")
    await office.take(line(status="Draft"))
    assert await office.states() == [("e1", "received")]
    await office.take(line())
    assert await office.states() == [("e1", "submitted")]


async def test_a_refused_superbill_is_shown_at_its_encounter_until_a_good_one_comes(office: Office) -> None:
    await office.sign("e1")
    refused = await office.take(line(quantity="0"))
    assert (refused.taken.new, len(refused.file.problems)) == (0, 1)
    [hold] = await office.world.store.open_holds(CLINIC)
    [finding] = hold["findings"]
    assert finding.edit == "superbill-refused"
    assert "line 2, column quantity" in finding.message
    await office.take(line())
    assert (await office.states(), await office.world.findings()) == ([("e1", "submitted")], [])


async def test_a_refused_version_does_not_take_the_place_of_a_good_one(office: Office) -> None:
    await office.sign("e1")
    await office.take(line())
    await office.take(line(quantity="0"))
    assert (await office.states(), office.world.billing_.sent) == ([("e1", "submitted")], 1)


async def test_a_corrected_record_number_moves_the_superbill_to_the_right_encounter(office: Office) -> None:
    await office.sign("e1", "AA111111")
    await office.sign("e2", "BB222222")
    await office.take(line(mrn="AA111111"))
    assert dict(await office.states()) == {"e1": "submitted", "e2": "received"}
    await office.take(line(mrn="BB222222"))
    assert dict(await office.states())["e2"] == "submitted"
    assert await office.world.one("select encounter_id from superbill") == "ehr.e2"


async def test_an_encounter_whose_provider_has_no_valid_npi_is_held(office: Office) -> None:
    practitioner = next(r for r in office.ehr._bundle.resources if r["resourceType"] == "Practitioner")
    practitioner["identifier"][0]["value"] = "1234567890"
    await office.sign("e1")
    [hold] = await office.world.store.open_holds(CLINIC)
    assert [f.expression for f in hold["findings"]] == ["Practitioner[0].identifier"]


async def test_encounter_and_superbill_that_come_at_the_same_moment_find_each_other(office: Office) -> None:
    for number in range(12):
        mrn = f"CC{number:06d}"
        office.ehr.put(f"e{number}", mrn)
        request = NotificationRequest("POST", "", {}, {}, f"e{number}".encode(), "192.0.2.7")
        await receive(office.world.pipeline, CLINIC, "ehr", request)
        content = superbill_file(line(f"SB-{number}", mrn))
        await asyncio.gather(
            office.world.work(), take_file(office.world.pipeline, CLINIC, content, source="test"), office.world.work()
        )
        await office.world.work()
    assert {state for _, state in await office.states()} == {"submitted"}
    assert office.world.billing_.sent == 12


async def test_no_key_or_audit_event_tells_of_the_patient(office: Office) -> None:
    await office.sign("e1")
    await office.take(line(), line("SB-7", "QQ777777", quantity="x"))
    async with office.world.store.acquire() as connection:
        keys = await connection.fetch(
            "select id, visit_key from superbill union all select encounter_id, visit_key from superbill_visit"
        )
        audit = await connection.fetch("select content from audit_event")
        jobs = await connection.fetch("select dedupe_key from inbox")
    text = repr([tuple(row) for row in keys]) + repr([bytes(row[0]) for row in audit]) + repr([row[0] for row in jobs])
    for value in ("AB123456", "QQ777777", NPI, "SB-1", "L57.0", "2026-03-03'"):
        assert value not in text, value


async def test_each_intake_is_audited_with_the_files_digest(office: Office) -> None:
    good = await office.take(line())
    bad = await office.take(line("SB-2", quantity="0"))
    async with office.world.store.acquire() as connection:
        rows = await connection.fetch(
            "select step, outcome, content from audit_event where step like 'superbills-%' order by recorded"
        )
    assert [(row["step"], row["outcome"]) for row in rows] == [("superbills-taken", "0"), ("superbills-refused", "4")]
    for row, intake in zip(rows, (good, bad), strict=True):
        assert f"Binary/{intake.digest}".encode() in bytes(row["content"])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def away(folder: Path) -> None:
    (folder / "rejected").rmdir()
    folder.rmdir()


@pytest.fixture
async def folder(office: Office, link: SuperbillLink, tmp_path: Path) -> AsyncIterator[Path]:
    watched = tmp_path / "superbills"
    (watched / "rejected").mkdir(parents=True)
    place = DropPlace(FolderDrop("superbills", watched / "rejected", watched))
    office.world.pipeline = replace(office.world.pipeline, superbills={CLINIC: replace(link, place=place)})
    await office.world.store.ensure_job(CLINIC, superbills_job("ehr"))
    yield watched
    await place.aclose()


async def look(office: Office, times: int = 2) -> None:
    """Look into the folder; a file is taken at the second look at which it is the same."""
    for _ in range(times):
        await office.world.store.run_soon(CLINIC, "superbills:ehr")
        await office.world.work()
    await office.world.work()


async def test_a_file_in_the_folder_is_taken_and_gone(office: Office, folder: Path) -> None:
    await office.sign("e1")
    (folder / "day.csv").write_bytes(superbill_file(line()))
    await look(office)
    assert (await office.states(), files(folder)) == ([("e1", "submitted")], [])


async def test_a_file_with_a_mistake_is_set_aside_with_its_report(office: Office, folder: Path) -> None:
    content = superbill_file(line(), line("SB-2", "ZZ999999", quantity="SECRET"))
    (folder / "day.csv").write_bytes(content)
    await look(office)
    assert not (folder / "day.csv").exists()
    kept = f"day.{hashlib.sha256(content).hexdigest()[:8]}.csv"
    assert (folder / "rejected" / kept).read_bytes() == content
    report = (folder / "rejected" / f"{kept}.report.txt").read_text()
    assert report.startswith("line 3, column quantity: this is not a number.")
    assert "SECRET" not in report and "ZZ999999" not in report
    await office.sign("e1")
    assert await office.states() == [("e1", "submitted")], "the good superbill of the file went in"


async def test_a_worker_that_died_between_intake_and_shredding_leaves_no_double(office: Office, folder: Path) -> None:
    await office.sign("e1")
    await office.take(line())
    (folder / "day.csv").write_bytes(superbill_file(line()))
    await look(office)
    assert (files(folder), office.world.billing_.sent) == ([], 1)


async def test_a_file_that_is_still_being_written_is_left_alone(office: Office, folder: Path) -> None:
    await office.sign("e1")
    whole = superbill_file(line(), line(product_or_service="11102", charge="80.00"))
    (folder / "day.csv").write_bytes(whole[: whole.rindex(b"SB-1")])
    await look(office, times=1)
    (folder / "day.csv").write_bytes(whole)
    await look(office, times=1)
    assert await office.states() == [("e1", "received")]
    await look(office, times=1)
    assert (files(folder), office.world.billing_.saved) == ([], ["200.00"])


async def test_rejected_files_of_one_name_do_not_replace_each_other(office: Office, folder: Path) -> None:
    for quantity in ("x", "y"):
        (folder / "day.csv").write_bytes(superbill_file(line(quantity=quantity)))
        await look(office)
    assert len(files(folder / "rejected")) == 4


async def test_a_file_that_cannot_be_shredded_does_not_hold_up_the_others(office: Office, folder: Path) -> None:
    await office.sign("e1")
    (folder.parent / "elsewhere").write_bytes(superbill_file(line("SB-9", "ZZ000009")))
    (folder / "a.csv").symlink_to(folder.parent / "elsewhere")
    (folder / "b.csv").write_bytes(superbill_file(line()))
    await look(office)
    assert (files(folder), await office.states()) == (["a.csv"], [("e1", "submitted")])


async def test_a_folder_that_cannot_be_read_stops_nothing_else(office: Office, folder: Path) -> None:
    away(folder)
    await look(office, times=1)
    assert await office.world.one("select last_error from job where kind = 'superbills'") == "not_found"
    assert await office.world.one("select count(*) from connection_stop") == 0
    await office.sign("e1")
    assert await office.states() == [("e1", "received")]


async def test_a_superbill_that_comes_while_its_encounter_is_being_looked_at_is_not_left_waiting(
    office: Office, database: dict[str, Any]
) -> None:
    """Another process takes the file in just after a worker has seen that there is no superbill."""
    normalize = office.ehr.normalize

    async def take_elsewhere() -> None:
        async def arguments() -> dict[str, Any]:
            return database

        store = PostgresStore(arguments)
        await store.open()
        await take_file(replace(office.world.pipeline, store=store), CLINIC, superbill_file(line()), source="test")
        await store.close()

    def with_the_file_meanwhile(record: EncounterRecord) -> EncounterBundle:
        office.ehr.normalize = normalize  # type: ignore[method-assign]
        elsewhere = threading.Thread(target=lambda: asyncio.run(take_elsewhere()))
        elsewhere.start()
        elsewhere.join()
        return normalize(record)

    office.ehr.normalize = with_the_file_meanwhile  # type: ignore[method-assign]
    await office.sign("e1")
    await office.world.work()
    assert await office.states() == [("e1", "submitted")]
