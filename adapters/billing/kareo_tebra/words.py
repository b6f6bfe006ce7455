"""How canonical values become Tebra's words: dates, sex, relationship, notes, external ids. Pure; used by the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

EXTERNAL_ID_LENGTH = 25  # Tebra cuts longer external ids without a word (section 8)
_GENDERS = {"male": "Male", "female": "Female"}
_RELATIONSHIPS = {"self": "Self", "spouse": "Spouse", "child": "Child"}


def midnight(value: str) -> str:
    """The date as YYYY-MM-DDT00:00:00, the `xs:dateTime` that Tebra's writes want (section 2)."""
    return f"{value[:10]}T00:00:00"


def gender(value: str) -> str:
    """Male or Female, else Unknown (section 8)."""
    return _GENDERS.get(value, "Unknown")


def relationship(value: str) -> str:
    """Self, Spouse or Child, else Other (section 8)."""
    return _RELATIONSHIPS.get(value, "Other")


def paid_amount(value: Any) -> Any:
    """The amount; nothing paid is no payment."""
    return value or None


def unknown_method(value: Any) -> str | None:
    """Always Unknown, where something was paid."""
    return "Unknown" if value else None


def yes(value: str) -> bool:
    """True when the claim's accident is of this kind."""
    return bool(value)


def always(given: Any) -> Callable[[Any], Any]:
    """The same value whenever the source is there at all."""

    def fixed(_: Any) -> Any:
        return given

    fixed.__doc__ = f"Always {str(given).lower() if isinstance(given, bool) else given}."
    return fixed


def state_code(value: str) -> str | None:
    """The state's two letters; Tebra's column has room for no more."""
    return value.upper() if len(value) == 2 else None


def joined(texts: tuple[str, ...]) -> str | None:
    """The texts in order, with `; ` between them."""
    return "; ".join(texts) or None


def external_id(submission_id: str, suffix: str = "") -> str:
    """The submission id with its suffix, cut here so that the suffix survives Tebra's silent cut."""
    return submission_id[: EXTERNAL_ID_LENGTH - len(suffix)] + suffix


def external_encounter_id(submission_id: str) -> str:
    """The submission id, its first 25 characters."""
    return external_id(submission_id)


def external_line_id(line_id: str) -> str:
    """The submission id, a hyphen and the line's sequence; at most 25 characters, the submission id is cut."""
    submission_id, _, sequence = line_id.rpartition("-")
    return external_id(submission_id, f"-{sequence}")


def diagnoses_in_order(codes: tuple[str, ...]) -> str | None:
    """`Diagnoses of the claim in order: ...`, only when the lines would lose one of them or their order."""
    return f"Diagnoses of the claim in order: {', '.join(codes)}" if codes else None


def referral(number: str) -> str:
    """`Referral number: ...`, for the biller: Tebra's encounter has no member for it."""
    return f"Referral number: {number}"


def encounters_on_file(vendor_ids: Mapping[str, str]) -> list[str] | None:
    """The encounter of the claim on file, and those that were made by a resend."""
    listed = (vendor_ids.get("EncounterID", ""), *vendor_ids.get("DuplicateEncounterIDs", "").split(","))
    return [encounter_id for encounter_id in listed if encounter_id] if listed[0] else None
