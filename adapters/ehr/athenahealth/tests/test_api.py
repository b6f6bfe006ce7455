"""The shapes in which v1 may answer, over real HTTP; a shape that is not known is told and never taken for empty."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gateway.canonical import jsonio
from gateway.canonical.errors import UnexpectedResponse, VendorUnavailable


class Server:
    """Answers `answers` one after the other, then the last one again; a token to whoever asks."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.paths: list[str] = []

    def next(self) -> bytes:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer if isinstance(answer, bytes) else jsonio.dumps(answer)


@pytest.fixture
def server() -> Iterator[tuple[str, Server]]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.paths.append(self.path)
            self.reply(found.next())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            token = {"access_token": "t", "expires_in": "3600", "token_type": "Bearer"}
            self.reply(jsonio.dumps(token) if self.path.startswith("/oauth2") else found.next())

        def reply(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", found
    running.shutdown()
    running.server_close()


@pytest.fixture
def api(connect: Any, server: tuple[str, Server]) -> Any:
    return connect(host=server[0]).fetcher._api


@pytest.fixture
def answers(server: tuple[str, Server]) -> Any:
    def set_(*answers: Any) -> Server:
        server[1].answers = list(answers)
        return server[1]

    return set_


ROW = {"claimid": "1"}


@pytest.mark.parametrize("answer", [[ROW], ROW], ids=str)
async def test_one_object_may_come_in_an_array(api: Any, answers: Any, answer: Any) -> None:
    answers(answer)
    assert await api.one("claim", "claims/1") == ROW
    assert await api.at_most_one("claim", "claims/1") == [ROW]


@pytest.mark.parametrize("answer", [[], [ROW, ROW], "text", 1, None, [1]], ids=str)
async def test_anything_else_is_not_one_object(api: Any, answers: Any, answer: Any) -> None:
    answers(answer)
    with pytest.raises(UnexpectedResponse):
        await api.one("claim", "claims/1")


async def test_at_most_one_may_be_none(api: Any, answers: Any) -> None:
    answers([])
    assert await api.at_most_one("claim", "claims/1") == []
    answers([ROW, ROW])
    with pytest.raises(UnexpectedResponse):
        await api.at_most_one("claim", "claims/1")


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        ({"claims": [ROW], "totalcount": 1}, [ROW]),
        ([ROW], [ROW]),
        ({"totalcount": 0}, []),
        ({}, []),
        ({"claims": []}, []),
    ],
    ids=str,
)
async def test_a_list_may_be_bare_wrapped_or_left_out(api: Any, answers: Any, answer: Any, rows: Any) -> None:
    answers(answer)
    assert await api.rows("claims", "claims", "claims") == rows


@pytest.mark.parametrize(
    "answer",
    [{"billing": [ROW]}, {"totalcount": 2}, {"totalcount": "2"}, {"claims": ROW}, {"claims": ["1"]}, 1, "x", None],
    ids=str,
)
async def test_a_list_under_another_name_is_not_taken_for_an_empty_one(api: Any, answers: Any, answer: Any) -> None:
    answers(answer)
    with pytest.raises(UnexpectedResponse):
        await api.rows("claims", "claims", "claims")


async def test_relative_links_are_followed(api: Any, answers: Any) -> None:
    server = answers({"claims": [ROW], "next": "/v1/195900/claims?limit=1&offset=1"}, {"claims": [{"claimid": "2"}]})
    assert len(await api.rows("claims", "claims", "claims", {"limit": 1})) == 2
    assert server.paths[-1] == "/v1/195900/claims?limit=1&offset=1"


@pytest.mark.parametrize("link", ["/v1/195900/claims?offset=1", 1, "https://elsewhere.example.test/x"], ids=str)
async def test_links_in_a_circle_or_to_elsewhere_are_refused(api: Any, answers: Any, link: Any) -> None:
    answers({"claims": [ROW], "next": link})
    with pytest.raises(UnexpectedResponse):
        await api.rows("claims", "claims", "claims")


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b'{"claims":[{"cla', b"\xff"])
async def test_what_is_not_json_is_a_passing_fault(api: Any, answers: Any, body: bytes) -> None:
    answers(body)
    with pytest.raises(VendorUnavailable):
        await api.rows("claims", "claims", "claims")


@pytest.mark.parametrize("success", [False, "false"])
async def test_a_200_that_says_failure_is_one(api: Any, answers: Any, success: Any) -> None:
    answers({"success": success, "errormessage": "TESTERLY", "claims": [ROW]})
    for attempt in (
        api.rows("claims", "claims", "claims"),
        api.one("claims", "claims/1"),
        api.send("claims", "POST", "claims", {}),
    ):
        with pytest.raises(UnexpectedResponse) as raised:
            await attempt
        assert "TESTERLY" not in str(raised.value)


async def test_an_answer_that_is_too_large_is_not_read(connect: Any, server: Any, answers: Any) -> None:
    answers(b'{"claims":["' + b"x" * 2_000_000 + b'"]}')
    with pytest.raises(UnexpectedResponse, match="max_response_mb"):
        await connect(host=server[0], max_response_mb=1).fetcher._api.rows("claims", "claims", "claims")
