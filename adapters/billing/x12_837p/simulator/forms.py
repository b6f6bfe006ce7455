"""Reading form fields in the order in which they came."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl


def fields_of(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a multipart or URL-encoded body; a file's content is its value."""
    if not content_type.lower().startswith("multipart/form-data"):
        return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode("latin-1") + body)
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content.decode("latin-1")
    return fields
