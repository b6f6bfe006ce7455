"""How the server takes a claim: Claim/$submit and transactions (R4 http, sections 3.1.0.11 and 3.1.0.4)."""

from __future__ import annotations

from typing import Any

from adapters.billing.fhir_claim.simulator import checks
from adapters.billing.fhir_claim.simulator.adjudication import answer_to
from adapters.billing.fhir_claim.simulator.refused import Resource, refuse
from adapters.billing.fhir_claim.simulator.store import Store

Entry = dict[str, Any]


class Intake:
    """Takes Bundles into a store; everything of one Bundle is checked before anything is saved."""

    def __init__(self, store: Store, base: str, payers: frozenset[str]) -> None:
        self._store, self._base, self._payers = store, base, payers

    def submit(self, body: Any, condition: str = "") -> Resource:
        """Claim/$submit: the ClaimResponse, also when the claim itself is refused by its content."""
        bundle = _submitted(body)
        entries = _entries(bundle, "collection")
        claim = entries[0]["resource"]
        if claim.get("resourceType") != "Claim":
            raise refuse(400, "invalid", "The first entry must be the Claim.", "Bundle.entry[0].resource")
        existing = self._matching("Claim", condition)
        if existing is not None:
            return self._response_to(existing)
        self._check(entries)
        if checks.unknown_payer(self._insurer(claim, entries), self._payers):
            return answer_to(claim, entries[0]["fullUrl"], "", errors=[{"code": "T4"}])
        ids = {entry["fullUrl"]: self._keep_id(entry["resource"], entry["fullUrl"]) for entry in entries}
        for entry in entries[1:]:
            self._save(entry["resource"], ids[entry["fullUrl"]], ids)
        return self._take(claim, ids[entries[0]["fullUrl"]], ids)

    def transaction(self, body: Any) -> Resource:
        """A transaction: all entries or none; the answer names what each became."""
        if not isinstance(body, dict) or body.get("resourceType") != "Bundle":
            raise refuse(400, "structure", "A transaction is a Bundle.")
        entries = _entries(body, "transaction")
        planned = {entry["fullUrl"]: self._planned(entry, i) for i, entry in enumerate(entries)}
        self._check([entry for entry in entries if not planned[entry["fullUrl"]][1]])
        ids = {url: identity for url, (identity, _) in planned.items()}
        answers = []
        for entry in entries:
            resource, (identity, kept) = entry["resource"], planned[entry["fullUrl"]]
            if not kept:
                self._take(resource, identity, ids) if _is_claim(resource) else self._save(resource, identity, ids)
            saved = self._store.get(resource["resourceType"], identity.partition("/")[2]) or {}
            answers.append({"response": _response(identity, saved, kept)})
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": answers}

    def _planned(self, entry: Entry, index: int) -> tuple[str, bool]:
        """(Type/id that the entry will have, whether it is left as it is)."""
        resource, request = entry["resource"], entry.get("request") or {}
        kind, where = resource["resourceType"], f"Bundle.entry[{index}].request"
        method, url = request.get("method"), str(request.get("url", ""))
        if method == "POST" and url == kind:
            existing = self._matching(kind, str(request.get("ifNoneExist", "")))
            return (f"{kind}/{existing['id'] if existing else self._store.new_id()}", existing is not None)
        if method == "PUT" and url.startswith(f"{kind}?"):
            existing = self._matching(kind, url.partition("?")[2])
            if "id" in resource and (existing is None or resource["id"] != existing["id"]):
                raise refuse(400, "invalid", "The id of a conditional update must be the one that it finds.", where)
            return f"{kind}/{existing['id'] if existing else self._store.new_id()}", False
        raise refuse(400, "not-supported", "Only POST and conditional PUT are offered.", where)

    def _matching(self, kind: str, condition: str) -> Resource | None:
        """The one resource that a condition finds; 412 when it finds several."""
        if not condition:
            return None
        name, _, token = condition.partition("=")
        if name != "identifier" or not token:
            raise refuse(412, "not-supported", "Conditions are on identifier only.")
        found = self._store.by_identifier(kind, token)
        if len(found) > 1:
            raise refuse(412, "multiple-matches", "Several resources match the condition.")
        return found[0] if found else None

    def _check(self, entries: list[Entry]) -> None:
        urls = [entry["fullUrl"] for entry in entries]
        places = [f"Bundle.entry[{i}].resource" for i in range(len(entries))]
        found = [(entry["resource"], where) for entry, where in zip(entries, places, strict=True)]
        checks.settle([i for resource, where in found for i in checks.structure(resource, where)], 400)
        known = {*urls, *(f"Claim/{claim['id']}" for claim in self._store.all("Claim"))}
        broken = [i for resource, where in found for i in checks.unresolved(resource, where, known)]
        people = [i for resource, where in found for i in checks.people(resource, where)]
        rules = [i for resource, _ in found if _is_claim(resource) for i in checks.claim_rules(resource)]
        checks.settle([*broken, *people, *rules])

    def _insurer(self, claim: Resource, entries: list[Entry]) -> Resource | None:
        wanted = claim.get("insurer", {}).get("reference")
        return next((entry["resource"] for entry in entries if entry["fullUrl"] == wanted), None)

    def _keep_id(self, resource: Resource, url: str) -> str:
        """`Type/id` of a submitted resource: what was submitted under the same URL is the same, but for claims."""
        kind = resource["resourceType"]
        found = [] if kind == "Claim" else self._store.by_identifier(kind, f"urn:fullurl|{url}")
        return f"{kind}/{found[0]['id'] if found else self._store.new_id()}"

    def _save(self, resource: Resource, identity: str, ids: dict[str, str]) -> Resource:
        url = next(url for url, known in ids.items() if known == identity)
        identifiers = [*resource.get("identifier", ()), {"system": "urn:fullurl", "value": url}]
        return self._store.save({**_resolved(resource, ids), "identifier": identifiers}, identity.partition("/")[2])

    def _take(self, claim: Resource, identity: str, ids: dict[str, str]) -> Resource:
        saved = self._store.save(_resolved(claim, ids), identity.partition("/")[2])
        return self._store.save(answer_to(saved, identity, "queued"), self._store.new_id())

    def _response_to(self, claim: Resource) -> Resource:
        reference = f"Claim/{claim['id']}"
        responses = self._store.all("ClaimResponse")
        return next(r for r in reversed(responses) if r["request"]["reference"] == reference)


def _is_claim(resource: Resource) -> bool:
    return bool(resource["resourceType"] == "Claim")


def _submitted(body: Any) -> Resource:
    """The Bundle of a $submit: posted itself, or as the parameter `resource` (R4 operations, section 3.2.0.2)."""
    if isinstance(body, dict) and body.get("resourceType") == "Parameters":
        named = [p.get("resource") for p in body.get("parameter", ()) if p.get("name") == "resource"]
        body = named[0] if len(named) == 1 else None
    if not isinstance(body, dict) or body.get("resourceType") != "Bundle":
        raise refuse(400, "structure", "Claim/$submit takes a Bundle with a Claim.")
    return body


def _entries(bundle: Resource, kind: str) -> list[Entry]:
    entries = bundle.get("entry")
    if bundle.get("type") != kind or not isinstance(entries, list) or not entries:
        raise refuse(400, "invalid", f"The Bundle must be a {kind} with entries.", "Bundle.type")
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or "fullUrl" not in entry or "resourceType" not in (entry.get("resource") or {}):
            raise refuse(400, "required", "An entry needs fullUrl and resource.", f"Bundle.entry[{i}]")
    if len({entry["fullUrl"] for entry in entries}) < len(entries):
        raise refuse(400, "invariant", "Each fullUrl must be unique (bdl-7).", "Bundle.entry")
    return entries


def _resolved(value: Any, ids: dict[str, str]) -> Any:
    """A copy whose references name what the server made of them."""
    if isinstance(value, dict):
        return {
            name: ids.get(member, member) if name == "reference" and isinstance(member, str) else _resolved(member, ids)
            for name, member in value.items()
        }
    return [_resolved(element, ids) for element in value] if isinstance(value, list) else value


def _response(identity: str, saved: Resource, kept: bool) -> Resource:
    version = saved.get("meta", {}).get("versionId", "1")
    created = not kept and version == "1"
    return {
        "status": "201 Created" if created else "200 OK",
        "location": f"{identity}/_history/{version}",
        "etag": f'W/"{version}"',
        "lastModified": saved.get("meta", {}).get("lastUpdated"),
    }
