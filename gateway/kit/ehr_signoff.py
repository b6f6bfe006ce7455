"""What proves that a clinician has signed a visit: a choice per connection, as data.

`Encounter.status = finished` is a candidate, not a proof (shared vendors generic_smart_fhir section 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

AUTHOR_SIGNATURES = ("1.2.840.10065.1.12.1.1", "1.2.840.10065.1.12.1.2", "1.2.840.10065.1.12.1.5")
"""Author's, coauthor's and verification signature (R4 signature-type, ASTM E1762)."""


class SignOff(StrEnum):
    """Where the proof is, beside `Encounter.status`."""

    STATUS = "status"
    DOCUMENT = "document"
    COMPOSITION = "composition"
    PROVENANCE = "provenance"
    EXTENSION = "extension"
    TAG = "tag"


DEFAULT_VALUES: Mapping[SignOff, tuple[str, ...]] = {
    SignOff.STATUS: (),
    SignOff.DOCUMENT: ("final", "amended"),
    SignOff.COMPOSITION: ("final", "amended"),
    SignOff.PROVENANCE: (*AUTHOR_SIGNATURES, "author", "verifier", "legal"),
    SignOff.EXTENSION: (),
    SignOff.TAG: (),
}
"""Which values of the element that is looked at mean signed; for an extension or a tag none means any."""


@dataclass(frozen=True, slots=True)
class SignOffRule:
    """The rule of one connection.

    `values` replace `DEFAULT_VALUES`; `url` is the extension's URL or the tag's system; `document_types` are the
    codes of the documents that count (empty: any).
    """

    by: SignOff = SignOff.STATUS
    values: tuple[str, ...] = ()
    url: str = ""
    document_types: tuple[str, ...] = ()

    @property
    def accepted(self) -> tuple[str, ...]:
        """The values that mean signed."""
        return self.values or DEFAULT_VALUES[self.by]


BY_STATUS = SignOffRule()
"""The status alone is believed."""
