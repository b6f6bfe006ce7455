"""What each refusal means, and that nothing of a body is quoted."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ehr.athenahealth.errors import failed, refusal
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    CredentialsRejected,
    ErrorCode,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (404, b"Service not registered with API gateway.", PermissionMissing),
        (404, b'{"error":"The patient was not found."}', UnexpectedResponse),
        (400, b'{"error":"Additional fields are required.","missingfields":["dob"]}', UnexpectedResponse),
        (409, b'{"error":"x","detailedmessage":"TESTERLY"}', UnexpectedResponse),
        (401, b"<h1>Developer Inactive</h1>", CredentialsRejected),
        (402, b"", PermissionMissing),
        (403, b"", PermissionMissing),
        (429, b"", RateLimited),
        (500, b"", VendorUnavailable),
        (503, b"", VendorUnavailable),
    ],
)
def test_a_refusal_has_one_meaning(status: int, body: bytes, meaning: type[Exception]) -> None:
    problem = refusal("read", httpx.Response(status, content=body))
    assert type(problem) is meaning
    assert "TESTERLY" not in str(problem)


def test_missing_fields_are_named_and_nothing_else_is() -> None:
    body = jsonio.dumps({"missingfields": ["lastname", "A B; TESTERLY"], "invalidfields": ["dob"], "error": "TESTERLY"})
    problem = refusal("create", httpx.Response(400, content=body))
    assert problem.code is ErrorCode.MISSING_ELEMENT
    assert "lastname, dob" in str(problem)
    assert "TESTERLY" not in str(problem)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7", "x-ratelimit-remaining": "0"}, 7, 7),
        ({"x-ratelimit-remaining": "0"}, 0, 3600),
        ({"x-ratelimit-remaining": "5"}, 1, 1),
    ],
)
def test_a_throttle_says_how_long(headers: dict[str, str], least: float, most: float) -> None:
    problem = refusal("read", httpx.Response(429, headers=headers))
    assert least <= (problem.retry_after or 0) <= most


@pytest.mark.parametrize(
    ("answer", "is_failure"),
    [
        ({"success": False, "errormessage": "x"}, True),
        ({"success": "false"}, True),
        ({"success": " FALSE "}, True),
        ({"success": True}, False),
        ({"success": "true"}, False),
        ({"claims": []}, False),
        ([], False),
    ],
    ids=str,
)
def test_a_200_may_say_that_it_failed(answer: Any, is_failure: bool) -> None:
    assert failed(answer) is is_failure


@given(st.integers(400, 599), st.binary(max_size=40))
def test_any_refusal_is_understood(status: int, body: bytes) -> None:
    assert refusal("read", httpx.Response(status, content=body)).text
