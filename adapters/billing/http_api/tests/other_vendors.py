"""Small servers of two more made-up vendors, written from their manuals in the descriptions' first lines."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs

from lxml import etree
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.kit.simulator import SimulatorOptions

_NB = "{urn:northbill:claims:3}"


def northbill(options: SimulatorOptions) -> Starlette:
    """XML under a signature of method, path, time and the body's hash."""
    claims: list[dict[str, str]] = []

    async def entry(request: Request) -> Response:
        body = await request.body()
        if not _signed(request, body, options.credentials["signing_key"]):
            return _xml("<Receipt/>", 401)
        if request.method == "GET":
            wanted = [claim for claim in claims if claim["ref"] == request.query_params["ref"]]
            rows = "".join(f'<Claim ref="{c["ref"]}" number="{c["number"]}"><State>NEW</State></Claim>' for c in wanted)
            return _xml(f"<Found>{rows}</Found>")
        claim = etree.fromstring(body)
        assert claim.tag == f"{_NB}Claim"
        codes = [code.text for code in claim.iterfind("Line/Code")]
        wrong = [i for i, code in enumerate(codes) if code == "17000"]
        if wrong:
            return _xml(
                f'<Receipt><Problems><Problem code="E-11"><Field>Claim/Line[{wrong[0] + 1}]/Code</Field>'
                "</Problem></Problems></Receipt>",
                400,
            )
        claims.append({"ref": claim.get("ref"), "number": f"N{len(claims) + 1}", "method": request.method})
        return _xml(f'<Receipt number="{claims[-1]["number"]}"><Batch>B7</Batch><State>POSTED</State></Receipt>')

    return Starlette(routes=[Route("/nb/claims.asmx", entry, methods=["GET", "POST", "PUT"])])


def _signed(request: Request, body: bytes, key: str) -> bool:
    path = f"{request.url.path}?{request.url.query}"
    text = "\n".join((request.method, path, request.headers["x-date"], hashlib.sha256(body).hexdigest()))
    digest = base64.b64encode(hmac.new(key.encode(), text.encode(), "sha256").digest()).decode()
    return request.headers["x-key"] == "k-1" and request.headers["x-signature"] == f"NB1 {digest}"


def _xml(text: str, status: int = 200) -> Response:
    return Response(f"<?xml version='1.0'?>{text}", status_code=status, media_type="text/xml")


def formly(options: SimulatorOptions) -> Starlette:
    """A form under an API key; answers HTTP 200 whatever happens, and the same to a repeated `X-Once`."""
    tickets: dict[str, dict[str, Any]] = {}

    async def submit(request: Request) -> Response:
        if request.headers["authorization"] != f"Key {options.credentials['api_key']}":
            return JSONResponse({}, 401)
        form = parse_qs((await request.body()).decode(), strict_parsing=True)
        once = request.headers["x-once"]
        if form["total"][0] == "550.00":
            return JSONResponse({"messages": [{"no": 12, "input": "line[1][cpt]"}]})
        tickets.setdefault(once, {"ticket": len(tickets) + 1, "form": form})
        return JSONResponse({"ticket": tickets[once]["ticket"]})

    return Starlette(routes=[Route("/submit.php", submit, methods=["POST"])])
