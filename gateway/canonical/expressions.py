"""Element paths as the simple FHIRPath that `OperationOutcome.issue.expression` allows: names, dots and indexes."""

from __future__ import annotations

import re

import fhirkit

_SAFE_PATH = re.compile(r"[A-Z][A-Za-z]*(?:\._?[a-z][A-Za-z0-9]{0,63}(?:\[\d+\])?)*")
_CHOICE = re.compile(
    r"\.(value|onset|abatement|deceased|multipleBirth|performed|serviced|timing|location|diagnosis|procedure)"
    r"(?:Address|Age|Attachment|Boolean|CodeableConcept|Coding|Date|DateTime|Decimal|Identifier|Integer|Money|Period"
    r"|Quantity|Range|Reference|String)(?=[.\[]|$)"
)


def expression_of(path: str) -> str:
    """A path of JSON members as FHIRPath: `Claim.item[0].servicedDate` is `Claim.item[0].serviced`.

    A member whose name no FHIR element could have is cut off: what is not an element name could be anything.
    """
    safe = _SAFE_PATH.match(path.replace("[x]", ""))
    if safe is None or safe[0].split(".", maxsplit=1)[0] not in fhirkit.RESOURCE_TYPES:
        return "Resource"
    end = safe.end() if safe.end() == len(safe.string) or safe.string[safe.end()] in ".[" else safe[0].rfind(".")
    return _CHOICE.sub(r".\1", safe[0][: max(end, 0)].replace("._", "."))
