"""A bare client of the simulator: messages are written here by hand, never by the adapter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from adapters.billing.advancedmd.simulator import build
from gateway.kit.contract_support import simulator_running

LOGIN = "/practicemanager/xmlrpc/processrequest.aspx"
SERVER = "/processrequest/api-801/FHIRGW/xmlrpc/processrequest.aspx"
GOOD = {"@username": "APIUSER", "@psw": "pw-demo-<&>-7", "@officecode": "990001", "@appname": "FHIRGW"}
TIME = "03/04/2026 02:10:00 PM"
JANE = {
    "@respparty": "SELF",
    "@name": "DOE,JANE",
    "@sex": "F",
    "@relationship": "1",
    "@hipaarelationship": "18",
    "@dob": "06/15/1985",
    "@chart": "AUTO",
    "@profile": "3",
}


@dataclass
class Client:
    """Sends JSON messages with the token of a login."""

    http: httpx.Client
    token: str = ""

    def raw(self, message: dict[str, Any], path: str = SERVER) -> httpx.Response:
        """One post."""
        return self.http.post(path, json={"ppmdmsg": message})

    def reply(self, message: dict[str, Any], path: str = SERVER) -> dict[str, Any]:
        """The content of PPMDResults."""
        response = self.raw(message, path)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()["PPMDResults"]
        return found

    def login(self, path: str = SERVER, **changes: str) -> dict[str, Any]:
        """A login post."""
        return self.reply({"@action": "login", "@class": "login", "@msgtime": TIME, **GOOD, **changes}, path)

    def sign_in(self) -> None:
        """Have a token."""
        self.token = self.login()["Results"]["usercontext"]["#text"]

    def do(self, action: str, class_: str = "api", **content: Any) -> dict[str, Any]:
        """The Results of a message that must succeed; attributes are given as `name`, children as objects."""
        reply = self.call(action, class_, **content)
        assert reply["Results"]["@success"] == "1", reply
        results: dict[str, Any] = reply["Results"]
        return results

    def refused(self, action: str, class_: str = "api", **content: Any) -> str:
        """The code of the fault of a message that must fail."""
        reply = self.call(action, class_, **content)
        assert reply["Results"]["@success"] == "0", reply
        return str(reply["Error"]["Fault"]["detail"]["code"])

    def call(self, action: str, class_: str = "api", **content: Any) -> dict[str, Any]:
        """A message with the session's token."""
        told = {n if isinstance(v, dict) else f"@{n}": v for n, v in content.items()}
        return self.reply(
            {"@action": action, "@class": class_, "@msgtime": TIME, "@nocookie": "1", "usercontext": self.token, **told}
        )

    def advance(self, **body: Any) -> dict[str, Any]:
        """The biller's and the payer's hands."""
        found: dict[str, Any] = self.http.post("/_sim/advance", json=body).json()
        return found

    def ledger(self) -> dict[str, Any]:
        """What is saved."""
        found: dict[str, Any] = self.http.get("/_sim/ledger").json()
        return found

    def add_jane(self) -> str:
        """A patient; gives the id."""
        patient = self.do("addpatient", patientlist={"patient": JANE})["patientlist"]["patient"]
        return str(patient["@id"])

    def add_visit(self, patient: str = "45") -> str:
        """A visit; gives the id."""
        appointment = {"@patient": patient, "@profile": "3", "@date": "3/3/2026"}
        return str(self.do("addvisit", "chargeentry", appt=appointment)["visit"]["@id"])

    def charge(self, code: str = "99213", **changes: Any) -> dict[str, Any]:
        """A charge with ids that were looked up."""
        procedure = self.do("lookupproccode", code=code, exactmatch="-1")["proccodelist"]["proccode"]["@id"]
        diagnosis = self.do("lookupdiagcode", code="L57.0", codeset="10", exactmatch="-1")
        number = diagnosis["diagcodelist"]["diagcode"]["@id"].removeprefix("dcode")
        return {
            "@proccode": procedure,
            "@units": "1",
            "@begindate": "03/03/2026",
            "@enddate": "03/03/2026",
            "@pos": "11",
            "@billins": "1",
            "diagcodelist": {"@codeset": "10", "diagcode": {"@id": number}},
            **changes,
        }

    def visit(self, visit: str, *charges: dict[str, Any], **changes: str) -> dict[str, Any]:
        """The content of a message that posts charges."""
        told = {"@id": visit, "@date": "03/03/2026", "@force": "0", "@profile": "prof3", "@note": "Gateway GW-1"}
        return {
            "patientid": "45",
            "approval": "1",
            "visit": {**told, **changes, "chargelist": {"charge": list(charges)}},
        }


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with simulator_running(build, credentials={}) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    """A client whose simulator is empty, without a session."""
    with httpx.Client(base_url=address, timeout=5) as http:
        http.post("/_sim/reset").raise_for_status()
        yield Client(http)


@pytest.fixture
def office(client: Client) -> Client:
    """A client with a session."""
    client.sign_in()
    return client
