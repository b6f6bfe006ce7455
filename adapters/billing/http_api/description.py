"""The description of a billing system in YAML: its models, and the checks that need no call.

Every mistake is a `ValidationError` whose location is the key, so that `gateway check` can name file and line.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from adapters.billing.http_api.authentication import Auth, header_problem
from adapters.billing.http_api.documents import Format, path_problem
from adapters.billing.http_api.errors import status_problem
from adapters.billing.http_api.plan import Plan, make_plan
from adapters.billing.http_api.problems import Problem, refuse
from adapters.billing.http_api.requests import parse_request
from gateway.canonical.errors import ErrorCode

_PATH_TEXT = Field(default="", description="Path into an answer.")
StateWord = Literal["sent", "received", "accepted", "rejected"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _request_line(line: str) -> str:
    parse_request(line)
    return line


def _read_line(line: str) -> str:
    if parse_request(line).method != "GET":
        raise ValueError("is asked again after a failure, so it must be a GET")
    return line


def _path(path: str) -> str:
    problem = path_problem(path) if path else ""
    if problem:
        raise ValueError(problem)
    return path


class Submit(_Strict):
    """The one request that creates a claim."""

    request: str = Field(description="Request line, e.g. `POST /v1/claims`.")
    payload: Format = Field(default=Format.JSON, description="How the claim is written: json, form or xml.")
    headers: dict[str, str] = Field(default_factory=dict, description="Fixed headers of every request.")
    omit_empty: bool = Field(default=True, description="Leave out what the claim lacks, instead of sending it empty.")
    map: dict[str, Any] = Field(min_length=1, description="The document to send; see below.")

    _line = field_validator("request")(_request_line)

    @field_validator("headers")
    @classmethod
    def _fit_for_http(cls, headers: dict[str, str]) -> dict[str, str]:
        problems = ((name, header_problem(name, value)) for name, value in headers.items())
        refuse([Problem((name,), problem) for name, problem in problems if problem])
        return headers


class Reply(_Strict):
    """How to read an answer about one claim. Paths begin with `$`, the answer or one entry of a list."""

    format: Literal["json", "xml"] = Field(default="json", description="How answers are written.")
    ids: dict[str, str] = Field(min_length=1, description="The vendor's ids: our name to path; the first is needed.")
    state: str = Field(default="", description="Path of the word for the claim's state.")
    errors: str = Field(default="", description="Path of the list of errors.")
    code: str = Field(default="$.code", description="Path of an error's code, in the error.")
    field: str = Field(default="$.field", description="Path of the field that an error is about, in the error.")

    counts_from: Literal[0, 1] = Field(default=0, description="The number of a list's first entry in `field`.")

    _paths = field_validator("state", "errors", "code", "field")(_path)

    @field_validator("ids")
    @classmethod
    def _id_paths(cls, ids: dict[str, str]) -> dict[str, str]:
        problems = [Problem((name,), path_problem(path)) for name, path in ids.items() if path_problem(path)]
        wrong = [name for name in ids if not name.isidentifier() or name in ("submission_id", "account_number")]
        refuse([*problems, *(Problem((name,), "is no name for an id; use letters and _") for name in wrong)])
        return ids


class ReplyPart(_Strict):
    """What differs from `reply` in the answer to another request."""

    ids: dict[str, str] = Field(default_factory=dict, description="The vendor's ids, as in `reply`.")
    state: str = _PATH_TEXT
    errors: str = _PATH_TEXT

    _paths = field_validator("state", "errors")(_path)


class Find(ReplyPart):
    """How to look a submission up: an answer with a list of claims."""

    request: str = Field(description="Request line with {submission_id} or {account_number}; a GET.")
    claims: str = Field(description="Path of the list of claims; `$` when the answer itself is the list or the claim.")
    match: str = Field(description="Path of the submission id in one claim; only equal ones count.")
    none_status: int | None = Field(
        default=None, ge=400, le=499, description="HTTP status that means: no such claim. Without it a 404 is an error."
    )
    none_when_missing: bool = Field(
        default=False, description="An answer without the list means: no such claim. Without it that is an error."
    )

    _line = field_validator("request")(_read_line)
    _lists = field_validator("claims", "match")(_path)


class Outcome(ReplyPart):
    """How to ask what became of a claim."""

    request: str = Field(description="Request line with an id of the vendor, or {submission_id}; a GET.")

    _line = field_validator("request")(_read_line)


class Probe(_Strict):
    """A harmless request for `gateway check`."""

    request: str = Field(description="Request line; a GET.")

    _line = field_validator("request")(_read_line)


class Correction(_Strict):
    """How a claim on file is replaced or voided; the map tells it by `claim.frequency` and `prior`."""

    request: str = Field(default="", description="Request line with {prior.<id>}; empty: that of `submit`.")

    @field_validator("request")
    @classmethod
    def _line(cls, line: str) -> str:
        return _request_line(line) if line else line


class Corrections(_Strict):
    """Which corrections the vendor takes."""

    replace: Correction | None = Field(default=None, description="The vendor takes a replacement (frequency 7).")
    void: Correction | None = Field(default=None, description="The vendor takes a void (frequency 8).")


class Idempotency(_Strict):
    """The vendor drops a second request with the same key."""

    header: str = Field(pattern=r"^[A-Za-z0-9-]+$", description="The header that holds the submission id.")
    hours: float = Field(gt=0, description="For how long the vendor remembers a key.")


class ErrorWord(_Strict):
    """What an error code of the vendor means."""

    error: ErrorCode = Field(default=ErrorCode.OTHER, description="The meaning, of the gateway's closed list.")
    element: str = Field(default="", description="FHIRPath of the element when the vendor names no field of the map.")
    message: str = Field(min_length=1, description="The sentence that a biller reads.")
    fix: str = Field(default="", description="What to do.")


class Description(_Strict):
    """A billing system with an API."""

    vendor: str = Field(min_length=1, max_length=60, description="The billing system's name.")
    auth: Auth = Field(description="How a request proves who sends it.")
    submit: Submit = Field(description="The request that creates a claim.")
    idempotency: Idempotency | None = Field(default=None, description="How the vendor drops repeats.")
    reply: Reply = Field(description="How to read an answer.")
    states: dict[str, StateWord] = Field(default_factory=dict, description="The vendor's word to our state.")
    error_codes: dict[str, ErrorWord] = Field(default_factory=dict, description="The vendor's error code to a meaning.")
    statuses: dict[int, str] = Field(default_factory=dict, description="HTTP status to a class of error.")
    find: Find | None = Field(default=None, description="How to look a submission up.")
    outcome: Outcome | None = Field(default=None, description="How to ask what became of a claim.")
    probe: Probe | None = Field(default=None, description="What `gateway check` asks.")
    corrections: Corrections = Field(default=Corrections(), description="How a claim on file is corrected.")
    waived: dict[str, str] = Field(default_factory=dict, description="Elements that need not be carried, and why.")
    refused: dict[str, str] = Field(default_factory=dict, description="Elements whose claims are held, and why.")

    _plan: Plan = PrivateAttr()

    @property
    def plan(self) -> Plan:
        """What was compiled from this description."""
        return self._plan

    @field_validator("statuses")
    @classmethod
    def _status_words(cls, statuses: dict[int, str]) -> dict[int, str]:
        found = ((status, status_problem(status, word)) for status, word in statuses.items())
        refuse([Problem((str(status),), problem) for status, problem in found if problem])
        return statuses

    @model_validator(mode="after")
    def _compile(self) -> Description:
        plan, problems = make_plan(self)
        refuse(problems)
        self._plan = plan
        return self
