"""Where EHRs notify: `/hooks/{clinic}/{connection}`, by POST, or by PUT of a resource below it (R4 rest-hook)."""

from __future__ import annotations

from ipaddress import ip_address

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from gateway.api.bodies import bounded_body
from gateway.api.outcomes import outcome
from gateway.api.responses import fhir_response, refusal
from gateway.canonical.errors import GatewayError
from gateway.canonical.models import NotificationRequest
from gateway.pipeline.context import Pipeline
from gateway.pipeline.receive import answer_challenge, receive


def webhook_router(pipeline: Pipeline, max_body_bytes: int) -> APIRouter:
    """The routes over one pipeline. A body is read only up to its bound."""
    router = APIRouter()

    @router.api_route("/hooks/{clinic_id}/{connection}", methods=["POST", "PUT"])
    @router.api_route("/hooks/{clinic_id}/{connection}/{path:path}", methods=["POST", "PUT"])
    async def notify(request: Request, clinic_id: str, connection: str, path: str = "") -> Response:
        body = await bounded_body(request, max_body_bytes)
        if body is None:
            return fhir_response(outcome("too-long", f"The body is larger than {max_body_bytes} bytes."), 413)
        try:
            new = await receive(pipeline, clinic_id, connection, _notification(request, path, body))
        except GatewayError as error:
            return refusal(error)
        return fhir_response(outcome("informational", f"{new} new", "information"), 202)

    @router.get("/hooks/{clinic_id}/{connection}")
    async def challenge(request: Request, clinic_id: str, connection: str) -> Response:
        try:
            answer = await answer_challenge(pipeline, clinic_id, connection, _notification(request, "", b""))
        except GatewayError as error:
            return refusal(error)
        return JSONResponse(dict(answer))

    return router


def _notification(request: Request, path: str, body: bytes) -> NotificationRequest:
    client = request.client.host if request.client else ""
    return NotificationRequest(
        method=request.method,
        path=path,
        headers={name.lower(): value for name, value in request.headers.items()},
        query=dict(request.query_params),
        body=body,
        client_address=client,
        secure=request.url.scheme == "https" or _is_this_machine(client),
    )


def _is_this_machine(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
