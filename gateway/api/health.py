"""Liveness and readiness."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from gateway.canonical.errors import StoreError


def health_router(check_store: Callable[[], Awaitable[None]]) -> APIRouter:
    """`/health/live` answers while the process runs; `/health/ready` when Postgres can be reached."""
    router = APIRouter(prefix="/health")

    @router.get("/live")
    async def live() -> JSONResponse:
        return JSONResponse({"status": "live"})

    @router.get("/ready")
    async def ready() -> JSONResponse:
        try:
            await check_store()
        except StoreError as problem:
            return JSONResponse({"status": "not ready", "store": str(problem)}, 503, headers={"Retry-After": "2"})
        return JSONResponse({"status": "ready"})

    return router
