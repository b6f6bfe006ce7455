"""Find the claim's patient with the insurance plans in AdvancedMD, or create both: never twice (sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from adapters.billing.advancedmd import actions, errors, replies, requests
from adapters.billing.advancedmd.errors import AlreadyThere
from adapters.billing.advancedmd.lookups import Lookups, named
from adapters.billing.advancedmd.memory import Memory
from adapters.billing.advancedmd.replies import Demographics, Plan
from adapters.billing.advancedmd.service import Calls
from adapters.billing.advancedmd.settings import AdvancedMdSettings
from adapters.billing.advancedmd.wire import Tree, attribute
from gateway.canonical.errors import ClaimRejected, ErrorCode
from gateway.ports.context import AdapterContext

REMEMBERED_SECONDS, MAX_PATIENTS = 900.0, 2048
UNFINISHED_FOR = timedelta(days=7)
SELF, CHILD = "18", "19"

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KnownPatient:
    """A patient of AdvancedMD with the account as it was read."""

    patient_id: str
    account: Demographics


class Patients:
    """The patients of one connection, remembered for a quarter of an hour."""

    def __init__(self, settings: AdvancedMdSettings, context: AdapterContext, lookups: Lookups) -> None:
        self._settings, self._context, self._lookups = settings, context, lookups
        self._known: Memory[tuple[str, ...], KnownPatient] = Memory(
            lifetime_seconds=REMEMBERED_SECONDS, max_entries=MAX_PATIENTS
        )

    async def resolve(self, calls: Calls, reference: str, document: Document, profile: str) -> KnownPatient:
        """The claim's patient, whose plans begin with the claim's coverages; raises `ClaimRejected`."""
        key = _key(reference, document)
        known = self._known.peek(key)
        if known is None or not fits(known.account.plans, document):  # the biller may have corrected the plans since
            known = await self._look_or_create(calls, reference, document, profile)
            if not fits(known.account.plans, document):
                self._known.drop(key)
                raise coverage_problem(known.account.plans, document)
            self._known.put(key, known)
        return known

    def forget(self, reference: str, document: Document) -> None:
        """Read the patient again next time."""
        self._known.drop(_key(reference, document))

    async def _look_or_create(self, calls: Calls, reference: str, document: Document, profile: str) -> KnownPatient:
        # An unfinished patient was created by the gateway and may still lack the plans.
        unfinished = f"new-patient/{reference}"
        async with self._context.lock(f"{self._context.connection}:patient:{reference}"):
            found = await self._look(calls, document["patient"])
            if found is not None:
                account = replies.demographics(await calls.call(requests.demographic(found)))
                if fits(account.plans, document) or await self._context.shared.get(unfinished) is None:
                    return KnownPatient(found, account)
                known = KnownPatient(found, account)
            else:
                self._may_create()
                await self._carriers(calls, document)  # a claim that is refused for them creates nobody
                await self._context.shared.put(unfinished, b"1", UNFINISHED_FOR)
                known = await self._create(calls, document, profile)
            known = await self._with_plans(calls, known, document)
            await self._context.shared.drop(unfinished)
            return known

    async def _look(self, calls: Calls, person: Mapping[str, str]) -> str | None:
        found = await named(calls, actions.LOOKUP_PATIENT, "patientlist", "patient", _search_name(person))
        return same_patient(found, person)

    def _may_create(self) -> None:
        if not self._settings.create_patients:
            raise errors.refused(
                actions.ADD_PATIENT,
                ErrorCode.NOT_FOUND,
                "Claim.patient",
                "AdvancedMD has no patient with this name and birth date, and this connection does not create patients",
                "Add the patient with the insurance plans in AdvancedMD, then send the claim again.",
            )

    async def _carriers(self, calls: Calls, document: Document) -> list[str]:
        """The carrier of each coverage."""
        return [
            await self._lookups.carrier(calls, coverage["payer"], f"Claim.insurance[{i}].coverage")
            for i, coverage in enumerate(document["coverages"])
        ]

    async def _create(self, calls: Calls, document: Document, profile: str) -> KnownPatient:
        person, first = document["patient"], document["coverages"][0]
        party, relation = "SELF", SELF
        if first["hipaarelationship"] == CHILD:  # a child's bills go to the parent
            party, relation = await self._responsible_party(calls, first["subscriber"], 0), CHILD
        try:
            results = await calls.call(requests.add_patient(person, profile, party, relation))
        except AlreadyThere:
            return await self._look_alike(calls, person)
        patient_id = replies.added_id(results, "patient")
        if not patient_id:
            raise errors.unreadable(actions.ADD_PATIENT)
        account = replies.demographics(results)
        return KnownPatient(patient_id, Demographics(account.responsible_party or _id(party), "1", ()))

    async def _look_alike(self, calls: Calls, person: Mapping[str, str]) -> KnownPatient:
        """Either a lost creation has been saved meanwhile, or AdvancedMD takes somebody else for the same."""
        found = await self._look(calls, person)
        if found is None:
            raise errors.refused(
                actions.ADD_PATIENT,
                ErrorCode.PATIENT_AMBIGUOUS,
                "Claim.patient",
                "AdvancedMD holds a patient like this one, with another name or birth date",
                "Compare the two in AdvancedMD and correct one of them, then send the claim again.",
            )
        return KnownPatient(found, replies.demographics(await calls.call(requests.demographic(found))))

    async def _with_plans(self, calls: Calls, known: KnownPatient, document: Document) -> KnownPatient:
        """Add the coverages that the account lacks; what it has must be the first of them."""
        account = known.account
        wanted, present = document["coverages"], len(account.plans)
        if [_bare(plan.number) for plan in account.plans] != _numbers(document)[:present]:
            return known
        carriers = await self._carriers(calls, document)
        own_party = account.responsible_party
        for i in range(present, len(wanted)):
            subscriber = own_party
            if wanted[i]["hipaarelationship"] != SELF:
                subscriber = await self._responsible_party(calls, wanted[i]["subscriber"], i)
            elif not subscriber or wanted[0]["hipaarelationship"] == CHILD:
                subscriber = await self._responsible_party(calls, document["patient"], i)
            message = requests.add_insurance(known.patient_id, wanted[i], carriers[i], subscriber)
            await calls.call(message)
        plans = tuple(_plan(coverage) for coverage in wanted)
        return KnownPatient(known.patient_id, Demographics(account.responsible_party, account.insurance_order, plans))

    async def _responsible_party(self, calls: Calls, person: Mapping[str, str], position: int) -> str:
        """The id of the responsible party that a person is, created when absent; siblings share a parent."""
        async with self._context.lock(f"{self._context.connection}:responsible-party"):
            return await self._party_found_or_created(calls, person, position)

    async def _party_found_or_created(self, calls: Calls, person: Mapping[str, str], position: int) -> str:
        action = actions.LOOKUP_RESPONSIBLE_PARTY
        found = await named(calls, action, "resppartylist", "respparty", _search_name(person))
        same = replies.same_people(found, person)
        if len(same) > 1:
            raise errors.refused(
                action,
                ErrorCode.PATIENT_AMBIGUOUS,
                f"Claim.insurance[{position}].coverage.subscriber",
                "AdvancedMD has several responsible parties with the subscriber's name and birth date",
                "Add the insurance plan to the patient in AdvancedMD by hand, then send the claim again.",
            )
        if same:
            return attribute(same[0], "id")
        results = await calls.call(requests.add_responsible_party(person))
        party = replies.added_id(results, "respparty")
        if not party:
            raise errors.unreadable(actions.ADD_RESPONSIBLE_PARTY)
        return party


def same_patient(rows: Sequence[Tree], person: Mapping[str, str]) -> str | None:
    """The id of the one row with the person's name and birth date, or None.

    The search matches loosely, so every row is compared again. Sex, then the chart number, decide between several; a
    single one of the other sex is nobody's guess.
    """
    same = replies.same_people(rows, person)
    agreeing = [row for row in same if not _contradicts(attribute(row, "gender"), person["sex"])]
    if len(agreeing) > 1 and person.get("record_number"):
        agreeing = [row for row in agreeing if attribute(row, "chart") == person["record_number"]] or agreeing
    if len(agreeing) > 1 or (same and not agreeing):
        raise errors.refused(
            actions.LOOKUP_PATIENT,
            ErrorCode.PATIENT_AMBIGUOUS,
            "Claim.patient",
            "AdvancedMD has several patients with this name and birth date, or one of the other sex",
            "Merge or correct them in AdvancedMD, or give the right one the EHR's medical record number as its chart.",
        )
    return attribute(agreeing[0], "id") if agreeing else None


def fits(plans: Sequence[Plan], document: Document) -> bool:
    """Whether the plans in force on the day of service begin with the claim's coverages, in the same order."""
    day, wanted = replies.day_of(document["visit"]["date"]), _numbers(document)
    assert day is not None
    return [_bare(plan.number) for plan in plans if plan.in_force(day)][: len(wanted)] == wanted


def coverage_problem(plans: Sequence[Plan], document: Document) -> ClaimRejected:
    """Why the plans do not fit, for the biller."""
    code, message = (
        ErrorCode.COVERAGE_MISMATCH,
        "The patient's insurance plans in AdvancedMD are not the claim's coverages in this order",
    )
    if not plans:
        code, message = ErrorCode.COVERAGE_MISSING, "The patient has no insurance plan in AdvancedMD"
    elif _numbers(document)[0] in [_bare(plan.number) for plan in plans] and not _any_in_force(plans, document):
        code, message = ErrorCode.COVERAGE_INACTIVE, "The plan in AdvancedMD is not in force on the date of service"
    return errors.refused(
        actions.GET_DEMOGRAPHIC,
        code,
        "Claim.insurance",
        message,
        "Correct the plans in AdvancedMD (member id, order, dates) or the coverage in the EHR, then send it again.",
    )


def _any_in_force(plans: Sequence[Plan], document: Document) -> bool:
    day, first = replies.day_of(document["visit"]["date"]), _numbers(document)[0]
    return any(_bare(plan.number) == first and day is not None and plan.in_force(day) for plan in plans)


def _key(reference: str, document: Document) -> tuple[str, ...]:
    return (reference, document["patient"]["name"], document["patient"]["dob"])


def _search_name(person: Mapping[str, str]) -> str:
    """LAST,FIRST without the middle initial: the rows are compared afterwards."""
    last, _, given = person["name"].partition(",")
    return f"{last},{given.partition(' ')[0]}"


def _contradicts(one: str, other: str) -> bool:
    return {one[:1].upper(), other[:1].upper()} == {"M", "F"}


def _plan(coverage: Mapping[str, str]) -> Plan:
    starts, ends = (replies.day_of(coverage.get(name, "")) for name in ("begindate", "enddate"))
    return Plan(coverage["subscribernum"], starts, ends)


def _numbers(document: Document) -> list[str]:
    return [_bare(coverage["subscribernum"]) for coverage in document["coverages"]]


def _bare(number: str) -> str:
    return "".join(filter(str.isalnum, number)).upper()


def _id(party: str) -> str:
    return "" if party == "SELF" else party
