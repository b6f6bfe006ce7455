"""Where superbill files are uploaded: `POST /superbills/{clinic}`, as text/csv or as one file of a form.

Refusals are problem details (RFC 9457) that name lines and columns, never values.
"""

from __future__ import annotations

import hmac
import re
from typing import Any

from fastapi import APIRouter, Request, Response

from gateway.api.bodies import bounded_body
from gateway.canonical.errors import StoreError
from gateway.canonical.jsonio import dumps
from gateway.pipeline.context import Pipeline
from gateway.pipeline.superbill import Intake, take_file
from gateway.ports.superbills import SuperbillLink

MOST_PROBLEMS = 200
_FORM_OVERHEAD = 16_384  # boundaries and part headers
_MOST_HEAD = 4096
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', re.IGNORECASE)
_NAMED_FILE = re.compile(rb"^content-disposition:[^\r\n]*;\s*filename\*?=", re.IGNORECASE | re.MULTILINE)
_CSV = frozenset({"text/csv", "application/csv", "text/plain", "application/octet-stream"})


class _Refused(Exception):
    """Answered with a problem."""

    def __init__(self, status: int, title: str, detail: str, **headers: str) -> None:
        super().__init__(title)
        self.status, self.title, self.detail, self.headers = status, title, detail, headers

    def response(self) -> Response:
        return _problem(self.status, self.title, self.detail, headers=self.headers)


def superbill_router(pipeline: Pipeline) -> APIRouter:
    """The route over one pipeline. A body is read only after the secret was right, and only up to its bound."""
    router = APIRouter()

    @router.post("/superbills/{clinic_id}")
    async def upload(request: Request, clinic_id: str) -> Response:
        try:
            link = _authorized(pipeline, clinic_id, request)
            content = await _file_of(request, link)
            address = request.client.host if request.client else "unknown"
            return _answer(await take_file(pipeline, clinic_id, content, source="upload", address=address))
        except _Refused as refusal:
            return refusal.response()
        except StoreError:
            detail = "Nothing was taken; send the file again."
            return _problem(503, "The database is away", detail, headers={"Retry-After": "2"})

    return router


def _authorized(pipeline: Pipeline, clinic_id: str, request: Request) -> SuperbillLink:
    """The clinic's link; a clinic that takes no uploads answers like a wrong secret."""
    link = pipeline.superbills.get(clinic_id)
    secret = link.upload_secret if link else ""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    equal = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), secret.encode())
    if link is None or not secret or scheme.lower() != "bearer" or not equal:
        headers = {"WWW-Authenticate": "Bearer"}
        raise _Refused(
            401, "The upload is not allowed", "Send upload_secret of this clinic as a bearer token.", **headers
        )
    return link


async def _file_of(request: Request, link: SuperbillLink) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _CSV and kind != "multipart/form-data":
        raise _Refused(415, "The file's type is not known", "Send text/csv, or multipart/form-data with one file.")
    content = await bounded_body(request, link.max_bytes + _FORM_OVERHEAD)
    if content is not None and kind == "multipart/form-data":
        content = _only_part(request.headers["content-type"], content)
    if content is None or len(content) > link.max_bytes:
        raise _Refused(413, "The file is too large", f"Send at most {link.max_bytes} bytes; see superbills.max_bytes.")
    return content


def _only_part(content_type: str, body: bytes) -> bytes:
    """The one file of a form (RFC 7578), in time that grows with the body alone: parts have no parts."""
    named = _BOUNDARY.search(content_type)
    boundary = b"\r\n--" + (named[1] or named[2]).encode("latin-1", "replace") if named else b""
    parts = (b"\r\n" + body).split(boundary)[1:] if boundary else []
    split = [part.partition(b"\r\n\r\n") for part in parts[:-1]]
    files = [content for head, _, content in split if _NAMED_FILE.search(head[:_MOST_HEAD])]
    if len(files) != 1 or not parts[-1].startswith(b"--"):
        raise _Refused(400, "The form does not hold one file", "Send one part with a file name.")
    return files[0]


def _answer(intake: Intake) -> Response:
    counts = {
        "rows": intake.file.rows,
        "new": intake.taken.new,
        "changed": intake.taken.changed,
        "unchanged": intake.taken.unchanged,
    }
    if not intake.file.problems:
        return Response(dumps(counts), media_type="application/json")
    told = [
        {"line": problem.line, "column": problem.column, "detail": problem.message, "fix": problem.fix}
        for problem in intake.file.problems[:MOST_PROBLEMS]
    ]
    title = "Superbills were refused"
    detail = f"{len(intake.file.problems)} mistakes; a superbill with one is not taken, the others are."
    return _problem(422, title, detail, more={**counts, "problems": told})


def _problem(
    status: int,
    title: str,
    detail: str,
    *,
    more: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **(more or {})}
    return Response(dumps(body), status, headers, "application/problem+json")
