"""Where EHRs read the public keys of this gateway's connections: `/keys/{clinic}/{connection}/jwks.json`.

The JWKS URL to register with an EHR (SMART App Launch 2.2.0; shared standards smart_backend_services rows K3 to K5).
"""

from __future__ import annotations

from fastapi import APIRouter, Response

from gateway.api.responses import refusal
from gateway.canonical.errors import GatewayError, UnknownConnection
from gateway.canonical.jsonio import dumps
from gateway.pipeline.context import Pipeline

CACHE_SECONDS = 3600
"""How long an EHR may keep the keys: a new one is published longer than that before it signs."""


def key_router(pipeline: Pipeline) -> APIRouter:
    """The key sets of all connections; nobody has to authenticate to read them."""
    router = APIRouter()

    @router.get("/keys/{clinic_id}/{connection}/jwks.json")
    async def keys(clinic_id: str, connection: str) -> Response:
        try:
            held = pipeline.connections.ehr(clinic_id, connection).public_keys
            if not held:
                raise UnknownConnection("this connection signs nothing")
        except GatewayError as error:
            return refusal(error)
        headers = {"Cache-Control": f"public, max-age={CACHE_SECONDS}"}
        return Response(dumps({"keys": list(held)}), media_type="application/json", headers=headers)

    return router
