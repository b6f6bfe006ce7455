"""JSON logs with ids only, and OpenTelemetry traces when an OTLP endpoint is configured."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({})))
_OWN = frozenset({"gateway", "adapters"})


class JsonFormatter(logging.Formatter):
    """One JSON object a line. Only the message and named fields are written; exception texts never are (PHI)."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        entry.update({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info and record.exc_info[0]:
            entry["error"] = record.exc_info[0].__name__
        return json.dumps(entry, default=str)


def _message(record: logging.LogRecord) -> str:
    """A library's message up to its first line: asyncio's goes on with an exception's text, which may hold PHI."""
    text = record.getMessage()
    return text if record.name.partition(".")[0] in _OWN else text.partition("\n")[0]


def set_up_logging(level: str = "INFO") -> None:
    """Send the gateway's own logs to standard error as JSON; libraries only from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gateway").setLevel(level)


class Tracer:
    """Spans of the pipeline's steps; does nothing unless OTEL_EXPORTER_OTLP_ENDPOINT is set."""

    def __init__(self, enabled: bool | None = None) -> None:
        wanted = bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")) if enabled is None else enabled
        self._provider = _otlp_provider() if wanted else None
        self._tracer = self._provider.get_tracer("gateway") if self._provider else None

    @contextmanager
    def span(self, name: str, trace: str) -> Iterator[None]:
        """One span of the encounter's trace (`trace`: 32 hex digits), across processes.

        It carries no PHI: of a failure only its class, never its text or its stack.
        """
        if self._tracer is None or len(trace) != 32:
            yield
            return
        manner = {"record_exception": False, "set_status_on_exception": False}
        with self._tracer.start_as_current_span(name, context=_remote_parent(trace), **manner) as span:
            try:
                yield
            except BaseException as problem:
                span.set_attribute("error.type", type(problem).__name__)
                raise

    def close(self) -> None:
        """Send what is still buffered."""
        if self._provider is not None:
            self._provider.shutdown()


def _otlp_provider() -> Any:
    # Imported here: half of the start-up time of a process that does not trace.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": "fhir-billing-gateway"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _remote_parent(trace: str) -> Any:
    from opentelemetry import trace as otel  # noqa: PLC0415

    parent = otel.SpanContext(int(trace, 16), int(trace[:16], 16), is_remote=True, trace_flags=otel.TraceFlags(1))
    return otel.set_span_in_context(otel.NonRecordingSpan(parent))
