"""What is read of an encounter only because the clinic's charge map asks for it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.canonical.charge_map import ChargeMap, Kind
from gateway.kit.ehr_fetch import DOCUMENTS, FOLLOWED_TYPES, Search

FOR_CHARGE_MAP: Mapping[Kind, Search] = {
    Kind.SERVICE_REQUEST: Search("ServiceRequest", "encounter", needed=True),
    Kind.DOCUMENT_TYPE: DOCUMENTS,
}


def searches_for(charge_map: ChargeMap) -> tuple[Search, ...]:
    """The searches by encounter that the clinic's charge map needs beside the usual ones."""
    return tuple(search for kind, search in FOR_CHARGE_MAP.items() if kind in charge_map.kinds)


def followed_for(charge_map: ChargeMap) -> frozenset[str]:
    """The types whose references are followed: appointments only when the clinic's charge map asks for them."""
    return FOLLOWED_TYPES | ({"Appointment"} if Kind.APPOINTMENT_TYPE in charge_map.kinds else set())
