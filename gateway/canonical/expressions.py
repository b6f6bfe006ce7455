"""Element paths as the simple FHIRPath that `OperationOutcome.issue.expression` allows: names, dots and indexes."""

from __future__ import annotations

import re
from itertools import takewhile

import fhirkit

_ELEMENT = re.compile(r"_?([a-z][A-Za-z0-9]{0,63}(?:\[\d+\])?)")
_CHOICE = re.compile(
    r"\.(value|onset|abatement|deceased|multipleBirth|performed|serviced|timing|location|diagnosis|procedure)"
    r"(?:Address|Age|Attachment|Boolean|CodeableConcept|Coding|Date|DateTime|Decimal|Identifier|Integer|Money|Period"
    r"|Quantity|Range|Reference|String)(?=[.\[]|$)"
)


def expression_of(path: str) -> str:
    """A path of JSON members as FHIRPath: `Claim.item[0].servicedDate` is `Claim.item[0].serviced`.

    It ends before a member whose name no FHIR element could have: what is not an element name could be anything.
    """
    head, *members = path.replace("[x]", "").split(".")
    if head not in fhirkit.RESOURCE_TYPES:
        return "Resource"
    elements = takewhile(bool, (_ELEMENT.fullmatch(member) for member in members))
    return _CHOICE.sub(r".\1", ".".join([head, *(element[1] for element in elements if element)]))
