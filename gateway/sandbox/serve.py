"""Serves both simulators until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

from gateway.api.server import listening_socket, serve
from gateway.app import keep_what_is_loaded
from gateway.sandbox.plan import HOST, Sandbox, SandboxPlan, make_sandbox


async def serve_sandbox(plan: SandboxPlan, out: Path, first_port: int) -> int:
    """Write the configuration for a gateway, serve the simulators, and return 0 at the end."""
    out.mkdir(parents=True, exist_ok=True)
    sandbox = make_sandbox(plan, first_port, directory=out)
    sandbox.write(out)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    apps = (
        (sandbox.ehr_simulator.build(sandbox.ehr), sandbox.ehr),
        (sandbox.billing_simulator.build(sandbox.billing), sandbox.billing),
    )
    listening = [listening_socket(HOST, urlsplit(options.base_url).port or 0) for _, options in apps]
    servers = [
        asyncio.create_task(serve(app, bound, stop, lifespan=True))
        for (app, _), bound in zip(apps, listening, strict=True)
    ]
    keep_what_is_loaded()
    _announce(sandbox, out)
    await asyncio.wait(servers, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await asyncio.gather(*servers)
    return 0


def _announce(sandbox: Sandbox, out: Path) -> None:
    urls = {"ehr": sandbox.ehr.base_url, "billing": sandbox.billing.base_url, "gateway": sandbox.gateway_url}
    partial = out / "sandbox.json.part"
    partial.write_text(json.dumps(urls))
    partial.rename(out / "sandbox.json")
    lines = [
        f"EHR simulator      {urls['ehr']}",
        f"billing simulator  {urls['billing']}",
        "Start a gateway against them:",
        f"  . {out}/sandbox.env && gateway run --config {out}/gateway.yaml",
        "Sign off a visit at the EHR:",
        f"  curl -X POST {urls['ehr']}/_sim/sign -d '{{\"count\": 1}}'",
        "Ctrl-C ends the sandbox.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
