"""How a clinic connects to the simulator, by each of its channels."""

from __future__ import annotations

from typing import Any

from adapters.billing.x12_837p.simulator.account import DEFAULT_CREDENTIALS
from adapters.billing.x12_837p.simulator.core import FOLDER, HOST
from adapters.billing.x12_837p.simulator.sftp import known_host
from gateway.kit.simulator import SandboxConnection, SimulatorOptions

STEDI_PATH = "/2024-04-01"
STEDI_CORE_PATH = "/2023-08-01"


def connection(options: SimulatorOptions) -> SandboxConnection:
    """Over SFTP when the simulator has a port for it, else through its folder, else by Stedi's API."""
    if options.ports:
        return connection_over("sftp", options)
    return connection_over("folder" if options.directory else "stedi", options)


def connection_over(delivery: str, options: SimulatorOptions) -> SandboxConnection:
    """The settings and secrets of a connection by one channel: sftp, folder, stedi, optum or claim_md."""
    credentials = DEFAULT_CREDENTIALS | options.credentials
    channel, secrets = _CHANNELS[delivery](options, credentials)
    receiver = "CLAIMMD" if delivery == "claim_md" else credentials["receiver_id"]
    settings = {
        "delivery": delivery,
        delivery: channel,
        "submitter_id": credentials["submitter_id"],
        "receiver_id": receiver,
        "usage": "T",
        "settle_seconds": 1.0,
        "timeout_seconds": 5,
    }
    return SandboxConnection(settings, secrets)


def _sftp(options: SimulatorOptions, credentials: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    channel = {
        "host": HOST,
        "port": options.ports[0],
        "user": credentials["user"],
        "password": "env:CLEARINGHOUSE_PASSWORD",
        "host_key": known_host(options.base_url),
        "outgoing": "/inbound",
        "incoming": "/outbound",
    }
    return channel, {"CLEARINGHOUSE_PASSWORD": credentials["password"]}


def _folder(options: SimulatorOptions, _: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    if options.directory is None:
        raise ValueError("a simulator without a directory has no folder to share")
    root = options.directory / FOLDER
    return {"outgoing": str(root / "inbound"), "incoming": str(root / "outbound")}, {}


def _stedi(options: SimulatorOptions, credentials: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    channel = {
        "base_url": f"{options.base_url}{STEDI_PATH}",
        "core_url": f"{options.base_url}{STEDI_CORE_PATH}",
        "api_key": "env:STEDI_API_KEY",
    }
    return channel, {"STEDI_API_KEY": credentials["stedi_api_key"]}


def _optum(options: SimulatorOptions, credentials: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    channel = {
        "base_url": options.base_url,
        "client_id": credentials["optum_client_id"],
        "client_secret": "env:OPTUM_CLIENT_SECRET",
    }
    return channel, {"OPTUM_CLIENT_SECRET": credentials["optum_client_secret"]}


def _claim_md(options: SimulatorOptions, credentials: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    channel = {"base_url": options.base_url, "account_key": "env:CLAIM_MD_ACCOUNT_KEY"}
    return channel, {"CLAIM_MD_ACCOUNT_KEY": credentials["claim_md_account_key"]}


_CHANNELS = {"sftp": _sftp, "folder": _folder, "stedi": _stedi, "optum": _optum, "claim_md": _claim_md}
