"""From the vendor's name of a field in an error back to the claim's element, by the map itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapters.billing.http_api.places import expression_of
from adapters.billing.http_api.template import Leaf

_DECORATION = re.compile(r"\[\d*\]|(?<![^.])[^.:@]+:")
_PART = re.compile(r"[A-Za-z_@#][\w@#:-]*|\d+")


def element_of(field: str, leaves: Sequence[Leaf], counts_from: int = 0) -> str:
    """The FHIRPath of the element that a field was written from, or "".

    Reads `lines[1].code`, `/lines/1/code`, `$.lines[1].code` and `lines.1.code`; numbers count from
    `counts_from`. Prefixes of XML names do not count. A field above mapped ones stands for the first of them.
    """
    parts = _PART.findall(field)
    names = ".".join(part.rpartition(":")[2] for part in parts if not part.isdigit())
    number = max(next((int(part) - counts_from for part in parts if part.isdigit()), 0), 0)
    if not names:
        return ""
    for exact in (True, False):
        for leaf in leaves:
            target = _DECORATION.sub("", leaf.target)
            if leaf.mentions and (target == names if exact else target.startswith(f"{names}.")):
                return expression_of(leaf.mentions[0].name, number)
    return ""
