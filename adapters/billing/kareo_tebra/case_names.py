"""What a case's name tells of accident and onset: its label is the key by which a claim finds its case. Pure.

"[auto accident FL 2026-03-01, onset 2026-03-02] Gulf Auto Insurance"; see `cases`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters.billing.kareo_tebra.settings import AccidentKind

CASE_NAME_LENGTH = 128  # the column's length in public import scripts
_KINDS: Mapping[str, AccidentKind] = {
    "RelatedToAutoAccident": "auto",
    "RelatedToEmployment": "work",
    "RelatedToOther": "other",
}
_LABEL = re.compile(r"\[(?:(?:auto|work|other)[\w ]* accident|onset) [^\]]*\]", re.IGNORECASE)


def accident_kinds(condition: Mapping[str, Any]) -> list[AccidentKind]:
    """The kinds of accident that a case's `Condition` tells: auto, work, other."""
    return [kind for member, kind in _KINDS.items() if condition.get(member)]


def case_name(payer: str, condition: Mapping[str, Any], dates: Mapping[str, str]) -> str:
    """The name of a new case: the payer's, after the label when there is an accident or an onset."""
    told = []
    if "AccidentDate" in dates:
        kinds = " and ".join(accident_kinds(condition))
        state = condition.get("RelatedToAutoAccidentState")
        told.append(" ".join(filter(None, [kinds, "accident", state, dates["AccidentDate"][:10]])))
    if "InjuryStartDate" in dates:
        told.append(f"onset {dates['InjuryStartDate'][:10]}")
    label = f"[{', '.join(told)}] " if told else ""
    return f"{label}{payer}"[:CASE_NAME_LENGTH].strip()


def labelled(case: Mapping[str, Any]) -> str | None:
    """The payer's name, after a label of accident and onset: `[auto accident FL 2026-03-01, onset 2026-03-01] Payer`.

    `case` is {"payer", "Condition"?, "Dates"?}.
    """
    return case_name(case["payer"], case.get("Condition", {}), case.get("Dates", {})) or None


def label_of(name: str) -> str:
    """The label that a case's name begins with, in lower case; empty when it has none."""
    found = _LABEL.match(name.strip())
    return found[0].lower() if found else ""
