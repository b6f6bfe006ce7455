"""A simulator of a clearinghouse: `build(options)` makes the ASGI app.

Written from the vendor documents only. Claims come by SFTP (`options.ports[0]`), through a folder, or over the HTTP
APIs of Stedi, Optum and Claim.MD. It reads X12 strictly, acknowledges with TA1 and 999, edits, reports with 277CA,
keeps a ledger, and fails on request. Control routes, in JSON: GET /_sim/ledger, POST /_sim/faults,
POST /_sim/advance, POST /_sim/reset.

What the documents leave open, and the simulator assumes: a repeated ISA13 of the same sender and receiver is refused
with TA1 025, and Claim.MD does not look at it; a 999 has the verdict of the whole transaction, so one wrong claim sends
its batch back; other edits than the guide's are told in the 277CA, never in the 999; Original Medicare (SBR09 MB) takes
no frequency 7 or 8; a file is gone from /inbound as soon as it is read; a wrong key is HTTP 401 at Stedi and Optum; an
edit that fails there is HTTP 400 and nothing is kept; Claim.MD's JSON is its XML without the root, and its error codes
are words. 277CAs have `>` between components, as Stedi writes them; TA1 and 999 have `:`.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from adapters.billing.x12_837p.simulator.claim_md import ClaimMd
from adapters.billing.x12_837p.simulator.connecting import connection, connection_over
from adapters.billing.x12_837p.simulator.core import Simulator
from adapters.billing.x12_837p.simulator.optum import Optum
from adapters.billing.x12_837p.simulator.stedi import Stedi
from gateway.kit.simulator import SimulatorOptions

CREATE_OPERATION = "put"

__all__ = ["CREATE_OPERATION", "build", "connection", "connection_over"]


def build(options: SimulatorOptions) -> ASGIApp:
    """The simulator as an ASGI app; its lifespan opens the SFTP server and the directories."""
    simulator = Simulator(options)
    return Starlette(
        routes=[
            Route("/_sim/ledger", simulator.show_ledger, methods=["GET"]),
            Route("/_sim/faults", simulator.set_faults, methods=["POST"]),
            Route("/_sim/advance", simulator.advance, methods=["POST"]),
            Route("/_sim/reset", simulator.reset, methods=["POST"]),
            *Stedi(simulator).routes(),
            *Optum(simulator).routes(),
            *ClaimMd(simulator).routes(),
        ],
        lifespan=simulator.lifespan,
    )
