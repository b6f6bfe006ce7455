"""The MLLP client against a receiver that does what receivers do: answers in pieces, twice, late, wrongly or never."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.canonical.errors import CredentialsRejected, ErrorCode, OutcomeUnknown, VendorUnavailable
from gateway.kit.mllp import MAX_FRAME_BYTES, MllpClient, framed, tls_context
from gateway.kit.simulator import free_ports

Writer = asyncio.StreamWriter
Answer = Callable[[str, Writer], Awaitable[None]]
MESSAGE = "MSH|^~\\&|GW|C|PM|1|20260304||DFT^P03|{id}|P|2.5.1\rPID|1||MRN1||DOE^JANE\r"


def ack(control_id: str, code: str = "AA") -> bytes:
    return f"MSH|^~\\&|PM|1|GW|C|20260304||ACK|A1|P|2.5.1\rMSA|{code}|{control_id}\r".encode()


class Receiver:
    """A listener whose answers a test supplies; remembers what came and how many connections there were."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.connections, self.port = answer, 0, 0
        self.received: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.connections += 1
        try:
            while True:
                frame = await reader.readuntil(b"\x1c\r")
                text = frame[1:-2].decode()
                self.received.append(text)
                await self.answer(text.split("|")[9], writer)
        except (EOFError, OSError):
            writer.close()


@asynccontextmanager
async def receiving(
    answer: Answer, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[tuple[Receiver, MllpClient]]:
    receiver = Receiver(answer)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    client = MllpClient("vendor", "127.0.0.1", receiver.port, **{"timeout_seconds": 0.3, **options})
    try:
        yield receiver, client
    finally:
        await client.aclose()
        server.close()


async def send(client: MllpClient, control_id: str = "GW-1", *, may_have_saved: bool = True) -> str:
    message = MESSAGE.format(id=control_id)
    return (await client.exchange(message, control_id, "DFT^P03", may_have_saved=may_have_saved)).code


async def accept(control_id: str, writer: Writer) -> None:
    writer.write(framed(ack(control_id)))


async def test_one_connection_carries_one_message_after_the_other() -> None:
    waiting = 0

    async def answer(control_id: str, writer: Writer) -> None:
        nonlocal waiting
        waiting += 1
        assert waiting == 1
        await asyncio.sleep(0.005)
        waiting -= 1
        writer.write(framed(ack(control_id)))

    async with receiving(answer) as (receiver, client):
        assert await asyncio.gather(*(send(client, f"GW-{n}") for n in range(8))) == ["AA"] * 8
        assert receiver.connections == 1
        assert receiver.received[0] == MESSAGE.format(id="GW-0")


async def test_an_answer_in_pieces_with_noise_before_it() -> None:
    async def answer(control_id: str, writer: Writer) -> None:
        for byte in b"\r\n\x00noise" + framed(ack(control_id)):
            writer.write(bytes([byte]))
            await writer.drain()

    async with receiving(answer) as (_, client):
        assert await send(client) == "AA"


async def test_two_messages_in_one_frame() -> None:
    async def answer(control_id: str, writer: Writer) -> None:
        writer.write(framed(ack("OTHER-1", "AE") + ack(control_id)))

    async with receiving(answer) as (_, client):
        assert await send(client) == "AA"


async def test_an_application_acknowledgment_after_the_commit_is_not_the_next_messages() -> None:
    async def answer(control_id: str, writer: Writer) -> None:
        writer.write(framed(ack(control_id, "CA")) + framed(ack(control_id, "AA")))

    async with receiving(answer) as (receiver, client):
        assert [await send(client, f"GW-{n}") for n in range(3)] == ["CA"] * 3
        assert receiver.connections == 1


async def _wrong_id(control_id: str, writer: Writer) -> None:
    writer.write(framed(ack("SOMEBODY-ELSE")))


async def _silence(control_id: str, writer: Writer) -> None:
    pass


async def _break_off(control_id: str, writer: Writer) -> None:
    writer.write(b"\x0bMSH|^~")
    writer.close()


async def _html(control_id: str, writer: Writer) -> None:
    writer.write(framed(b"<html>DOE, JANE</html>"))


async def _endless(control_id: str, writer: Writer) -> None:
    writer.write(b"\x0b" + b"x" * (2 * MAX_FRAME_BYTES))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (_wrong_id, ErrorCode.UNEXPECTED_RESPONSE),
        (_silence, ErrorCode.TIMEOUT),
        (_break_off, ErrorCode.TIMEOUT),
        (_html, ErrorCode.UNEXPECTED_RESPONSE),
        (_endless, ErrorCode.UNEXPECTED_RESPONSE),
    ],
)
async def test_a_lost_answer(answer: Answer, code: ErrorCode) -> None:
    """Unknown where the message may have been saved; the next message gets a new connection."""
    async with receiving(answer) as (receiver, client):
        with pytest.raises(OutcomeUnknown) as unknown:
            await send(client)
        assert unknown.value.code is code
        assert "JANE" not in str(unknown.value)
        with pytest.raises(VendorUnavailable):
            await send(client, may_have_saved=False)
        receiver.answer = accept
        assert await send(client) == "AA"
        assert receiver.connections == 3


async def test_a_late_answer_never_answers_the_next_message() -> None:
    async def late(control_id: str, writer: Writer) -> None:
        await asyncio.sleep(0.2 if control_id == "GW-1" else 0)
        writer.write(framed(ack(control_id)))

    async with receiving(late, timeout_seconds=0.1) as (_, client):
        with pytest.raises(OutcomeUnknown):
            await send(client)
        assert await send(client, "GW-2") == "AA"


async def test_a_cancelled_exchange_leaves_no_connection_behind() -> None:
    async with receiving(_silence, timeout_seconds=5) as (receiver, client):
        task = asyncio.create_task(send(client))
        while not receiver.received:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        receiver.answer = accept
        assert await send(client, "GW-2") == "AA"
        assert receiver.connections == 2


async def test_a_connection_that_the_receiver_closed_is_opened_anew() -> None:
    async def once(control_id: str, writer: Writer) -> None:
        writer.write(framed(ack(control_id)))
        writer.close()

    async with receiving(once) as (receiver, client):
        for n in range(3):
            assert await send(client, f"GW-{n}") == "AA"
            await asyncio.sleep(0.05)
        assert receiver.connections == 3


async def test_an_idle_connection_is_not_trusted() -> None:
    async with receiving(accept, idle_seconds=0.05) as (receiver, client):
        await send(client)
        await asyncio.sleep(0.1)
        await send(client)
        assert receiver.connections == 2


async def test_nobody_listens() -> None:
    client = MllpClient("vendor", "127.0.0.1", free_ports(1)[0])
    with pytest.raises(VendorUnavailable):
        await send(client)
    with pytest.raises(VendorUnavailable):
        await client.connect()
    await client.aclose()


async def test_the_character_set_is_that_of_the_connection() -> None:
    receiver_encoding = "latin-1"
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
        received.append(await reader.readuntil(b"\x1c\r"))
        writer.write(framed(ack("GW-1")))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = MllpClient("vendor", "127.0.0.1", server.sockets[0].getsockname()[1], encoding=receiver_encoding)
    await client.exchange("MSH|^~\\&|Åsa\r", "GW-1", "ADT^A04")
    assert "Åsa".encode(receiver_encoding) in received[0]
    await client.aclose()
    server.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver.example.test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "receiver.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(built.public_bytes(serialization.Encoding.PEM) + private)
    return file


async def test_tls_verifies_the_receiver(certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    async with receiving(accept, tls=server) as (receiver, _):
        trusting = MllpClient("vendor", "127.0.0.1", receiver.port, tls=tls_context(certificate))
        assert await send(trusting) == "AA"
        await trusting.aclose()
        for client in (
            MllpClient("vendor", "127.0.0.1", receiver.port, tls=tls_context()),
            MllpClient("vendor", "127.0.0.1", receiver.port, tls=tls_context(certificate), server_name="other.test"),
        ):
            with pytest.raises(CredentialsRejected):
                await send(client)
            await client.aclose()


async def test_tls_to_a_receiver_without_it() -> None:
    async with receiving(accept) as (receiver, _):
        client = MllpClient("vendor", "127.0.0.1", receiver.port, tls=tls_context(), connect_seconds=0.3)
        with pytest.raises(VendorUnavailable):
            await send(client)
        await client.aclose()
