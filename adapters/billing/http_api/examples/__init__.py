"""Descriptions that come with the adapter: `acme_billing.yaml`, a made-up vendor."""

from __future__ import annotations

from importlib.resources import files


def acme() -> str:
    """The YAML text of the description of Acme Billing."""
    return (files(__name__) / "acme_billing.yaml").read_text("utf-8")
