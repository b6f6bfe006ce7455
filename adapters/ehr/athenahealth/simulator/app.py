"""The application: tokens, the v1 routes with their limits, FHIR, and the control routes."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from adapters.ehr.athenahealth.simulator.access import SCOPES, Access, Grant
from adapters.ehr.athenahealth.simulator.events import Events
from adapters.ehr.athenahealth.simulator.feeds import ACTIVATION_SECONDS, EVENTS, Feed
from adapters.ehr.athenahealth.simulator.fhir import REQUIRED, FhirApi
from adapters.ehr.athenahealth.simulator.practice import Clinicians, Practice
from adapters.ehr.athenahealth.simulator.reads import Call, Reads
from adapters.ehr.athenahealth.simulator.seed import fill
from adapters.ehr.athenahealth.simulator.words import Clock, not_routed, refuse, v1
from adapters.ehr.athenahealth.simulator.writes import Writes
from gateway.canonical import jsonio
from gateway.kit.simulator import FaultKind, SimulatorOptions
from gateway.kit.simulator_app import Command, ControlRefused, SimulatorApp
from gateway.kit.simulator_http import Refused, Request, Response, outcome, plain_json
from gateway.kit.simulator_signing import Signing

DEFAULTS: Mapping[str, str] = {
    "client_id": "0oa-sandbox",
    "client_secret": "sandbox-secret",
    "webhook_secret": "sandbox-hook-secret",
    "jwks": '{"keys":[]}',
    "practice_id": "195900",
    "scopes": " ".join(SCOPES),
    "tokens_per_minute": "0",
    "calls_per_second": "0",
    "calls_per_day": "0",
    "spurious_403": "0",
    "largest_page": "5000",
    "push": "false",
}
_V1 = re.compile(r"/v1/(\d+)/(.+)")
_FEED = re.compile(r"(\w+)/changed(/subscription)?(/events)?")
_ENTRY = re.compile(r"appointments/(\d+)/claims")
_FHIR = "/fhir/r4"


class AthenaSimulator(SimulatorApp):
    """One practice at athenahealth."""

    practice: Practice
    clock: Clock

    def __init__(self, options: SimulatorOptions) -> None:
        self.knobs = {**DEFAULTS, **options.credentials}
        super().__init__(options)

    def restart(self, data: Any) -> None:
        """A new practice over a clinic day of FHIR resources."""
        knobs, self.clock = self.knobs, Clock()
        self.practice = Practice(knobs["practice_id"], self.clock)
        fill(self.practice, data or [])
        self.access = self._access()
        self.feeds = {name: self._feed(name) for name in EVENTS}
        self.events = Events(f"{self.options.base_url}{_FHIR}", self.practice, self.options.pace)
        self.clinicians = Clinicians(self.practice, self._told)
        self.clinicians.unsigned = dict.fromkeys(self.practice.encounters, True)
        self.signings: list[Signing] = []
        self._versions: Counter[str] = Counter()
        self._reads = Reads(self.practice, int(knobs["largest_page"]))
        self._writes = Writes(self.practice, lambda claim_id: self.feeds["claims"].happened("UpdateClaim", claim_id))
        self._fhir = FhirApi(f"{self.options.base_url}{_FHIR}", self.practice)
        self._served = 0

    def _access(self) -> Access:
        knobs, pace = self.knobs, self.options.pace
        clients = {knobs["client_id"]: knobs["client_secret"]}
        if "other_client_id" in knobs:
            clients[knobs["other_client_id"]] = knobs["other_client_secret"]
        return Access(
            self.clock,
            f"{self.options.base_url}/oauth2/v1/token",
            clients,
            jsonio.loads(knobs["jwks"]),
            frozenset(knobs["scopes"].split()),
            int(float(knobs["tokens_per_minute"]) / pace) if pace else 0,
            float(knobs["calls_per_second"]) / pace if pace else 0.0,
            int(knobs["calls_per_day"]),
        )

    def _feed(self, name: str) -> Feed:
        row = self.practice.claims.get if name == "claims" else self.practice.listed_appointment
        most = int(self.knobs["largest_page"])
        return Feed(name, self.practice, ACTIVATION_SECONDS * self.options.pace, row, most)

    def names(self, request: Request) -> tuple[str, str]:
        """The route's name, for both."""
        name = self._name(request)
        return name, name if request.method == "GET" else f"{request.method} {name}"

    def _name(self, request: Request) -> str:
        if request.path == "/oauth2/v1/token":
            return "token"
        if request.path.startswith(_FHIR):
            return f"fhir:{request.path.removeprefix(_FHIR).strip('/').partition('/')[0]}"
        within = _V1.fullmatch(request.path)
        path = within[2] if within else ""
        feed = _FEED.fullmatch(path)
        if feed:
            return f"{feed[1]}/changed{feed[2] or ''}"
        return next((name for name, pattern, _ in self._reads.routes if pattern.fullmatch(path)), "other")

    def answer(self, request: Request) -> Response:
        """Tokens, then FHIR, then v1; anything else is not routed."""
        if request.path == "/oauth2/v1/token" and request.method == "POST":
            return self.access.token(request)
        if request.path == f"{_FHIR}/metadata":
            return self._fhir.metadata()
        within = _V1.fullmatch(request.path)
        if within is None and not request.path.startswith(f"{_FHIR}/"):
            raise not_routed()
        grant = self.access.bearer(request)
        headers = self.access.count_call()
        self._refuse_for_nothing()
        response = self._v1(request, within[1], within[2], grant) if within else self._fhir_answer(request, grant)
        return replace(response, headers=(*response.headers, *headers))

    def _refuse_for_nothing(self) -> None:
        every = int(self.knobs["spurious_403"])
        self._served += 1
        if every and self._served % every == 0:
            raise refuse(403, "Access denied.")

    def _v1(self, request: Request, practice_id: str, path: str, grant: Grant) -> Response:
        if "athena/service/Athenanet.MDP.*" not in grant.scopes:
            raise refuse(403, "The scope of the token does not allow this.")
        if practice_id != self.practice.id:
            raise refuse(403, "The app has no access to this practice.")
        feed = _FEED.fullmatch(path)
        if feed and feed[1] in self.feeds:
            return self._feed_answer(request, self.feeds[feed[1]], feed, grant)
        if request.method == "POST":
            return self._write(request, path)
        for _, pattern, read in self._reads.routes:
            ids = pattern.fullmatch(path)
            if ids and request.method == "GET":
                return read(Call(path, ids.groups(), dict(request.pairs())))
        raise not_routed()

    def _feed_answer(self, request: Request, feed: Feed, path: re.Match[str], grant: Grant) -> Response:
        if path[3]:
            return v1([{"eventname": name} for name in EVENTS[feed.name]])
        if not path[2]:
            return feed.read(dict(request.pairs()), grant.client_id)
        if request.method == "POST":
            return feed.subscribe(dict(request.form()))
        if request.method == "DELETE":
            return feed.unsubscribe(dict(request.pairs()))
        return feed.subscription()

    def _write(self, request: Request, path: str) -> Response:
        entry = _ENTRY.fullmatch(path)
        if entry:
            return self._writes.enter_charges(entry[1])
        if path == "claims":
            return self._writes.create_claim(dict(request.form()))
        raise not_routed()

    def _fhir_answer(self, request: Request, grant: Grant) -> Response:
        resource_type, _, vendor_id = request.path.removeprefix(f"{_FHIR}/").partition("/")
        verb = "write" if request.method in ("POST", "DELETE") else "read"
        if f"system/{resource_type}.{verb}" not in grant.scopes:
            raise Refused(outcome(403, "forbidden", "the token's scopes do not allow this"))
        if resource_type == "Subscription":
            if request.method == "POST":
                return self.events.create(request)
            return self.events.delete(vendor_id) if request.method == "DELETE" else self.events.search()
        if resource_type == "SubscriptionTopic":
            return self.events.topics()
        if resource_type in REQUIRED and not vendor_id and request.method == "GET":
            return self._fhir.search(request, resource_type)
        raise not_routed()

    def failure(self, kind: FaultKind, request: Request) -> Response | None:
        """In the words of v1; FHIR's own on its side."""
        refusals = {
            FaultKind.RATE_LIMIT: (429, "Rate limit exceeded.", (("Retry-After", "1"),)),
            FaultKind.UNAUTHORIZED: (401, "The access token is invalid or has expired.", ()),
            FaultKind.HTTP_500: (500, "Internal error.", ()),
            FaultKind.HTTP_500_AFTER_SAVE: (500, "Internal error.", ()),
        }
        if kind not in refusals or request.path.startswith(_FHIR):
            return super().failure(kind, request)
        status, text, headers = refusals[kind]
        return plain_json({"error": text}, status, headers)

    def commands(self) -> Mapping[str, Command]:
        """What clinicians and the vendor do."""
        return {
            "sign": self._sign,
            "review": lambda body: self._done(body, self.clinicians.review),
            "check_out": lambda body: self._done(body, self.clinicians.check_out),
            "reopen": lambda body: self._done(body, self.clinicians.reopen),
            "amend": self._amend,
            "withdraw": self._withdraw,
            "duplicate": self._duplicate,
            "enter_charges": self._enter_charges,
            "advance": self._advance,
            "deliver": lambda body: self.events.deliver(),
            "replay": lambda body: {"replayed": self.events.replay()},
            "expire_tokens": lambda body: {"expired": self._expire_tokens()},
        }

    def state(self) -> dict[str, Any]:
        """The ledger's part: encounters, sign-offs, athenahealth's own claims, deliveries."""
        return {
            "encounters": {"total": len(self.practice.encounters), "unsigned": len(self.clinicians.unsigned)},
            "signed": [asdict(signing) for signing in self.signings],
            "own_claims": len(self.practice.claims),
            "deliveries": {"waiting": len(self.events.waiting), "dead": len(self.events.dead)},
        }

    async def aclose(self) -> None:
        """Stop the deliveries."""
        await self.events.aclose()

    def _told(self, event: str, encounter_id: str) -> None:
        """An appointment event goes to the feed; one of an encounter to the subscriptions, a sign-off to the ledger."""
        if not event.startswith("Encounter."):
            self.feeds["appointments"].happened(event, self.practice.appointment_of(encounter_id)["appointmentid"])
            return
        signing = None
        if event == "Encounter.signoff":
            self._versions[encounter_id] += 1
            signing = Signing(encounter_id, self._versions[encounter_id], time.time())
            self.signings.append(signing)
        self.events.happened(event, encounter_id, signing)

    def _sign(self, body: dict[str, Any]) -> dict[str, Any]:
        """{"count": n} the next in order, {"encounter_ids": [...]}, {"all": true}."""
        waiting = list(self.clinicians.unsigned)
        chosen = body.get("encounter_ids") or (waiting if body.get("all") else waiting[: int(body.get("count", 1))])
        before = len(self.signings)
        for encounter_id in chosen:
            self.clinicians.close(str(encounter_id))
        signed = self.signings[before:]
        return {"signed": [{"encounter_id": s.encounter_id, "signed_at": s.signed_at} for s in signed]}

    def _amend(self, body: dict[str, Any]) -> dict[str, Any]:
        encounter_id = str(body["encounter_id"])
        service_id = self.clinicians.amend(encounter_id)
        changed = f"service/{service_id}" if service_id else None
        return {"encounter_id": encounter_id, "signed_at": self.signings[-1].signed_at, "changed": changed}

    def _withdraw(self, body: dict[str, Any]) -> dict[str, Any]:
        encounter_id = str(body["encounter_id"])
        self.clinicians.delete(encounter_id)
        self._versions[encounter_id] += 1
        self.signings.append(Signing(encounter_id, self._versions[encounter_id], time.time()))
        return {"encounter_id": encounter_id, "signed_at": self.signings[-1].signed_at}

    def _duplicate(self, body: dict[str, Any]) -> dict[str, Any]:
        encounter_id = str(body["encounter_id"])
        repeated = self.events.repeat(encounter_id)
        if not repeated:
            raise ControlRefused("no subscription was told of this encounter yet")
        return {"encounter_id": encounter_id, "subscriptions": repeated}

    def _enter_charges(self, body: dict[str, Any]) -> dict[str, Any]:
        """athenahealth's own biller makes the claim of a visit."""
        appointment = self.practice.appointment_of(str(body["encounter_id"]))
        self._writes.enter_charges(str(appointment["appointmentid"]))
        return {"claims": len(self.practice.claims)}

    def _done(self, body: dict[str, Any], act: Any) -> dict[str, Any]:
        act(str(body["encounter_id"]))
        return {"encounter_id": str(body["encounter_id"])}

    def _advance(self, body: dict[str, Any]) -> dict[str, Any]:
        self.clock.advance(float(body["seconds"]))
        return {"now": self.clock.now().isoformat()}

    def _expire_tokens(self) -> int:
        expired = len(self.access.grants)
        self.access.grants.clear()
        return expired
