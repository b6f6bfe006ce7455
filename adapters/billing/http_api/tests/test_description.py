"""Mistakes in a description: each is refused before any call, at its key, with what to do."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.billing.http_api import ADAPTER, mapping_of
from adapters.billing.http_api.description import Description
from adapters.billing.http_api.examples import acme
from adapters.billing.http_api.payload import build
from adapters.billing.http_api.settings import HttpApiSettings, described
from gateway.canonical.errors import ConfigurationError, MappingError, UnsupportedElement
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.kit.samples import sample
from gateway.settings import LoadedSettings, load_settings

Change = Callable[[dict[str, Any]], Any]


def _map(**members: Any) -> Change:
    return lambda description: description["submit"]["map"].update(members)


def _without(*keys: str) -> Change:
    def change(description: dict[str, Any]) -> None:
        inner = description
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]

    return change


def _put(value: Any, *keys: str) -> Change:
    def change(description: dict[str, Any]) -> None:
        inner = description
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = value

    return change


MISTAKES: dict[str, tuple[Change, str, str]] = {
    "unknown key": (_put(1, "submit", "retries"), "submit.retries", "Extra inputs"),
    "missing key": (_without("reply"), "reply", "required"),
    "misspelt fact": (_map(total="claim.totl"), "submit.map.total", "did you mean claim.total"),
    "fixed text": (_map(currency="USD"), "submit.map.currency", '="text"'),
    "misspelt fact in an expression": (_map(total="= claim.totl"), "submit.map.total", "did you mean claim.total"),
    "syntax": (_map(total="= claim.total +"), "submit.map.total", "column"),
    "unknown function": (_map(total="= claim.total.round()"), "submit.map.total", "round"),
    "whole scope": (_map(total="= size(patient) > 0"), "submit.map.total", "name its member"),
    "binary fraction": (_map(total="= double(claim.total)"), "submit.map.total", "binary fractions"),
    "mixed kinds": (_map(total="= 1 + claim.total"), "submit.map.total", "mixes kinds"),
    "gives an object": (_map(total='= {"a": claim.total}'), "submit.map.total", "neither text"),
    "too long": (_map(total="= claim.total" + " " * 500 + "+ ''"), "submit.map.total", "500 characters"),
    "a secret in the wrong place is not repeated": (_map(total="sk_live_51H8"), "submit.map.total", "this is no fact"),
    "required": (_map(total={"$from": "claim.total", "$required": "no"}), "submit.map.total.$required", "true or"),
    "other word": (
        _map(total={"$from": "claim.frequency", "$words": {"1": "a"}, "$otherwise": ["b"]}),
        "submit.map.total.$otherwise",
        "one word",
    ),
    "list of an object": (_map(lines={"$each": {"a": 1}, "$map": {}}), "submit.map.lines.$each", "is none of"),
    "outside its list": (_map(total="item.net"), "submit.map.total", "$each: item"),
    "outside its list in an expression": (_map(total="= item.net"), "submit.map.total", "$each: item"),
    "index of one value": (_map(total="claim.total[0]"), "submit.map.total", "not a list"),
    "fraction": (_map(total=1.5), "submit.map.total", "float"),
    "nothing": (_map(total=None), "submit.map.total", "empty value"),
    "key that is no text": (_map(total={True: "claim.total"}), "submit.map.total", "quotes"),
    "unknown option": (_map(total={"$from": "claim.total", "$form": "number"}), "submit.map.total.$form", "not known"),
    "option alone": (_map(total={"$as": "number"}), "submit.map.total.$as", "out of place"),
    "unknown form": (_map(total={"$from": "claim.total", "$as": "float"}), "submit.map.total.$as", "use number"),
    "form of another kind": (
        _map(account={"$from": "claim.account_number", "$as": "number"}),
        "submit.map.account.$as",
        "it takes decimal or integer",
    ),
    "words and form": (
        _map(total={"$from": "claim.total", "$as": "number", "$words": {"1": "one"}}),
        "submit.map.total.$as",
        "one of the two",
    ),
    "words": (_map(total={"$from": "claim.total", "$words": "one"}), "submit.map.total.$words", "{code: word"),
    "limit": (_map(total={"$from": "claim.total", "$max": 0}), "submit.map.total.$max", "whole number"),
    "unknown list": (_map(lines={"$each": "itm", "$map": {}}), "submit.map.lines.$each", "is no fact"),
    "no list": (_map(lines={"$each": "claim.total", "$map": {}}), "submit.map.lines.$each", "is none of"),
    "list without a map": (_map(lines={"$each": "item"}), "submit.map.lines", "$map"),
    "value alone": (_map(total="$value"), "submit.map.total", "only inside"),
    "open element": (_without("submit", "map", "referral"), "submit.map", "Claim.referral (referral number"),
    "half an element": (_without("submit", "map", "accident", "state"), "submit.map", "`accident.state`"),
    "half a service": (_map(service={"from": "claim.billable_start"}), "submit.map", "`claim.billable_end`"),
    "both carried and waived": (_put("why", "waived", "Claim.total"), "waived.Claim.total", "is carried by total"),
    "both waived and refused": (
        lambda d: (
            d["submit"]["map"].pop("referral"),
            d.update(waived={"Claim.referral": "a"}, refused={"Claim.referral": "b"}),
        ),
        "waived.Claim.referral",
        "keep one",
    ),
    "unknown element": (_put("why", "waived", "Claim.prescription"), "waived.Claim.prescription", "no canonical"),
    "needless decision": (_put("why", "waived", "patient.mrn"), "waived.patient.mrn", "needs no decision"),
    "no reason": (_put(" ", "waived", "item.unit"), "waived.item.unit", "needs a reason"),
    "related is for corrections": (_put("why", "refused", "Claim.related"), "refused.Claim.related", "corrections"),
    "request line": (_put("/v1/claims", "submit", "request"), "submit.request", "POST /v1/claims"),
    "brace": (_put("POST /v1/{claims", "submit", "request"), "submit.request", "brace"),
    "patient value in an address": (
        _put("GET /v1/claims?name={family}", "find", "request"),
        "find.request",
        "ids only, never a patient's value",
    ),
    "id that no reply gives": (_put("GET /v1/claims/{number}", "outcome", "request"), "outcome.request", "{claim_id}"),
    "search that changes something": (_put("POST /v1/search", "find", "request"), "find.request", "must be a GET"),
    "no id": (_put({}, "reply", "ids"), "reply.ids", "at least 1"),
    "path": (_put("id", "reply", "ids", "claim_id"), "reply.ids.claim_id", "write $.member"),
    "path of states": (_put("status", "reply", "state"), "reply.state", "write $.member"),
    "name of an id": (_put("$.x", "reply", "ids", "claim id"), "reply.ids.claim id", "no name for an id"),
    "state that needs evidence": (_put("adjudicated", "states", "paid"), "states.paid", "Input should be"),
    "error code": (
        _put("bad_dx", "error_codes", "DX_INVALID", "error"),
        "error_codes.DX_INVALID.error",
        "Input should",
    ),
    "status": (_put({200: "claim_rejected"}, "statuses"), "statuses.200", "400 to 599"),
    "status word": (_put({422: "rejected"}, "statuses"), "statuses.422", "use one of"),
    "unsafe status": (_put({500: "vendor_unavailable"}, "statuses"), "statuses.500", "may be saved"),
    "id never sent": (_map(reference='="x"'), "submit.map", "claim.submission_id"),
    "unknown prior id": (_map(replaces="prior.number"), "submit.map", "known of a prior claim"),
    "prior without corrections": (_put({}, "corrections"), "submit.map", "`corrections` names none"),
    "key of another way": (_put("X-Key", "auth", "header"), "auth.header", "does not belong"),
    "key that is needed": (_put({"kind": "api_key"}, "auth"), "auth.header", "needs it"),
    "token address": (_put("oauth", "auth", "token_path"), "auth.token_path", "begins with /"),
    "header name": (_put({"X Y": "1"}, "submit", "headers"), "submit.headers.X Y", "no name of a header"),
    "signature": (
        _put({"kind": "hmac", "string": "{secret}", "headers": {"X-Sig": "{time}"}}, "auth"),
        "auth.string",
        "known are body",
    ),
    "two XML roots": (_put("xml", "submit", "payload"), "submit.map", "one root element"),
    "prefix in XML": (
        lambda d: d["submit"].update(payload="xml", map={"a:Claim": d["submit"]["map"]}),
        "submit.map",
        "@xmlns:prefix",
    ),
    "name in XML": (
        lambda d: d["submit"].update(payload="xml", map={"Claim": {**d["submit"]["map"], "a b": '="x"'}}),
        "submit.map.Claim.a b",
        "no name of an XML element",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_told_at_its_key_with_what_to_do(name: str, acme_description: dict[str, Any]) -> None:
    change, where, words = MISTAKES[name]
    change(acme_description)
    with pytest.raises(ValidationError) as refusal:
        Description.model_validate(acme_description)
    found = [(".".join(map(str, e["loc"])), e["msg"]) for e in refusal.value.errors(include_input=False)]
    assert [message for place, message in found if place == where and words in message], found


def test_all_mistakes_are_collected(acme_description: dict[str, Any]) -> None:
    _map(total="claim.totl", account="claim.acount_number")(acme_description)
    with pytest.raises(ValidationError) as refusal:
        Description.model_validate(acme_description)
    assert refusal.value.error_count() == 2


def _gateway_yaml(tmp_path: pathlib.Path, billing: str) -> LoadedSettings:
    text = """clinics:
  lakeside:
    name: Lakeside Dermatology
    timezone: America/New_York
    billing_provider: {name: Lakeside Dermatology, npi: "1234567893", tax_id: 12-3456789}
    ehr:
      main: {adapter: smart_fhir}
    billing:
      acme:
        adapter: http_api
        settings:
          base_url: https://api.acme.example
          client_id: env:ACME_ID
          client_secret: env:ACME_SECRET
          description:
"""
    path = tmp_path / "gateway.yaml"
    path.write_text(text.rstrip() + billing)
    return load_settings(path, {"ACME_ID": "a", "ACME_SECRET": "b"})


def _settings_of(loaded: LoadedSettings) -> HttpApiSettings:
    return loaded.adapter_settings(HttpApiSettings, "lakeside", "billing", "acme")


def test_a_mistake_in_gateway_yaml_has_its_line(tmp_path: pathlib.Path) -> None:
    body = "\n" + "".join(f"            {line}\n" for line in acme().splitlines())
    assert _settings_of(_gateway_yaml(tmp_path, body)).description.vendor == "Acme Billing"
    wrong = body.replace("account: claim.account_number!", "account: claim.acount_number!")
    loaded = _gateway_yaml(tmp_path, wrong)
    line = next(n for n, text in enumerate(loaded.path.read_text().splitlines(), 1) if "acount_number" in text)
    with pytest.raises(ConfigurationError) as refusal:
        _settings_of(loaded)
    assert refusal.value.where.startswith(f"{loaded.path}:{line} ")
    assert refusal.value.where.endswith("settings.description.submit.map.account")
    assert "did you mean claim.account_number" in refusal.value.problem


def test_a_mistake_in_a_file_of_its_own_has_that_file_s_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "acme.yaml").write_text(acme())
    assert _settings_of(_gateway_yaml(tmp_path, " file:acme.yaml\n")).description.vendor == "Acme Billing"
    text = acme().replace("modifiers: {$from: item.modifier,", "modifiers: {$from: item.modifer,")
    (tmp_path / "acme.yaml").write_text(text)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "item.modifer" in row)
    with pytest.raises(ConfigurationError) as refusal:
        _settings_of(_gateway_yaml(tmp_path, " file:acme.yaml\n"))
    assert "gateway.yaml:15 clinics.lakeside.billing.acme.settings.description" in refusal.value.where
    assert f"line {line} of the description, submit.map.lines.$map.modifiers.$from" in refusal.value.problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vendor: [", "line 1 of the description is not YAML"),
        ("- vendor", "not a mapping"),
        ("", "empty"),
        (acme() + "retries: 3\n", "retries: is not a known key"),
        (acme().replace("vendor: Acme Billing\n", ""), "vendor: is missing"),
        (acme().replace("claims: $.claims,", "claims: claims,"), "find.claims: is no path"),
    ],
)
def test_a_broken_file_is_told_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="description") as refusal:
        described(text)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"base_url": "http://api.acme.example"}, "base_url", "https://"),
        ({"base_url": "https://user:pw@api.acme.example"}, "base_url", "no secret"),
        ({"base_url": "https:///v1"}, "base_url", "no address"),
        ({"base_url": "https://api.acme.example?key=1"}, "base_url", "no query"),
        ({"client_secret": None}, "client_secret", "is missing"),
        ({"base_url": ""}, "base_url", "is empty"),
        ({"token_url": "http://login.example/token"}, "token_url", "https://"),
        ({"api_key": "k"}, "api_key", "does not belong"),
        ({"client_secret": "two\nlines"}, "client_secret", "no HTTP header"),
    ],
)
def test_settings_beside_the_description(
    changes: dict[str, Any], where: str, words: str, plain_settings: Callable[[str], dict[str, Any]]
) -> None:
    with pytest.raises(ValidationError) as refusal:
        HttpApiSettings.model_validate({**plain_settings("https://api.acme.example"), **changes})
    (error,) = refusal.value.errors(include_input=False)
    assert error["loc"] == (where,)
    assert words in error["msg"]


def test_the_token_is_asked_for_at_one_address(plain_settings: Callable[[str], dict[str, Any]]) -> None:
    plain = plain_settings("https://api.acme.example/v9/")
    assert HttpApiSettings.model_validate(plain).token_address == "https://api.acme.example/v9/oauth/token"
    both = {**plain, "token_url": "https://login.example/token"}
    with pytest.raises(ValidationError, match="not both"):
        HttpApiSettings.model_validate(both)
    del plain["description"]["auth"]["token_path"]
    with pytest.raises(ValidationError, match="names no path"):
        HttpApiSettings.model_validate(plain)
    assert HttpApiSettings.model_validate(both).token_address == "https://login.example/token"
    other = {**both, "description": {**both["description"], "auth": {"kind": "none"}}}
    with pytest.raises(ValidationError, match="remove it"):
        HttpApiSettings.model_validate({k: v for k, v in other.items() if not k.startswith("client")})


def test_the_fact_sheet_shows_the_example_and_every_connection_its_own(acme_description: dict[str, Any]) -> None:
    assert set(ADAPTER.carried) == set(CLAIM_ELEMENTS)
    del acme_description["submit"]["map"]["referral"]
    acme_description["waived"] = {"Claim.referral": "Acme does not pay referrals"}
    connection = HttpApiSettings.model_validate(
        {"base_url": "https://a.example", "client_id": "a", "client_secret": "b", "description": acme_description}
    )
    carried, rows = mapping_of(connection)
    assert carried["Claim.referral"] == "- Acme does not pay referrals"
    assert carried["Claim.item.net"] == "lines[].charge"
    assert "referral" not in [row.target for row in rows["Field map"]]
    charge = next(row for row in rows["Field map: lines[]"] if row.target == "lines[].charge")
    assert (charge.source, charge.required) == ("Claim.item.net.value", True)


def test_the_example_is_short_and_holds_no_python() -> None:
    lines = [line for line in acme().splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 80
    assert yaml.safe_load(acme())["vendor"] == "Acme Billing"


def _places(node: Any, keys: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = node.items() if isinstance(node, dict) else ()
    return [*([keys] if keys else []), *(place for key, inner in below for place in _places(inner, (*keys, key)))]


_RAW = yaml.safe_load(acme())
_JUNK: list[Any] = [None, True, 0, -1, 1.5, "", " ", "=", "=1/0", "=[1][5]", "$value", "{", "$.a[", [], ["x"], {}]
_JUNK += [
    {"$each": None},
    {"$from": None},
    {"$from": []},
    {"$if": None},
    {"a": {}},
    {1: 2},
    {"$each": "item", "$map": None},
]
_JUNK += [
    "item.net[0]",
    {"$from": "item.modifier", "$words": {None: 1}},
    {"$each": "claim.note", "$map": {"$each": "x"}},
]


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(_places(_RAW)), junk=st.sampled_from(_JUNK))
def test_any_part_replaced_by_anything_is_refused_in_order_or_used(place: tuple[Any, ...], junk: Any) -> None:
    raw = deepcopy(_RAW)
    inner = raw
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = junk
    try:
        description = Description.model_validate(raw)
    except ValidationError:
        return
    with suppress(UnsupportedElement, MappingError):
        build(sample("referred_and_authorized"), "GW1", None, description, ZoneInfo("America/New_York"))
