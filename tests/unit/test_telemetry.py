"""Logs hold ids only; spans leave by OTLP when, and only when, an endpoint is configured."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gateway.telemetry import JsonFormatter, Tracer

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A local OTLP receiver: its address, and what it was sent."""
    received: list[tuple[str, bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()


def test_a_span_is_sent_in_the_encounters_trace(
    collector: tuple[str, list[tuple[str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector[0])
    tracer = Tracer()
    with tracer.span("submit", TRACE):
        pass
    tracer.close()
    [(path, body)] = collector[1]
    assert path == "/v1/traces"
    assert bytes.fromhex(TRACE) in body
    assert b"submit" in body


def test_of_a_failure_a_span_holds_the_class_and_never_the_text(
    collector: tuple[str, list[tuple[str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector[0])
    tracer = Tracer()
    with pytest.raises(KeyError), tracer.span("normalize", TRACE):
        raise KeyError("Jane Canary")
    tracer.close()
    [(_, body)] = collector[1]
    assert b"KeyError" in body
    assert b"Canary" not in body


def test_without_an_endpoint_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    tracer = Tracer()
    with tracer.span("submit", TRACE):
        pass
    tracer.close()


def test_a_log_line_is_json_with_named_fields_and_never_an_exceptions_text() -> None:
    try:
        raise ValueError("Jane Canary")
    except ValueError:
        record = logging.getLogger("gateway.x").makeRecord(
            "gateway.x", logging.ERROR, __file__, 1, "defect", (), sys.exc_info(), extra={"job": 7}
        )
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["job"], line["error"], line["level"]) == ("defect", 7, "ValueError", "error")
    assert "Canary" not in json.dumps(line)


def test_of_a_librarys_message_only_the_first_line_is_written() -> None:
    text = "Task exception was never retrieved\nfuture: <Task exception=KeyError('Jane Canary')>"
    record = logging.getLogger("asyncio").makeRecord("asyncio", logging.ERROR, __file__, 1, text, (), None)
    assert json.loads(JsonFormatter().format(record))["message"] == "Task exception was never retrieved"
