"""The superbills of the simulated practice: made at the sign-off, exported as CSV some time after the encounter shows.

Half of the practice keeps no fees ($0 charges), and whoever exports sends some superbills twice (vendors
practice_fusion section 6; the columns are this project's own, as those of the real export are not known).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from adapters.ehr.practice_fusion.simulator.practice import record_number
from gateway.canonical import codes
from gateway.kit.simulator_seed import SeedLine, SeedVisit

COLUMNS = (
    *("superbill_id", "mrn", "dos", "rendering_npi", "facility", "dx1", "dx2", "dx3", "dx4"),
    *("cpt", "mod1", "mod2", "mod3", "mod4", "units", "charge", "dx_ptr", "pa", "status"),
)
READY, DRAFT = "Ready for biller", "Draft"
MOST_DIAGNOSES = 4  # for each CPT


@dataclass(slots=True)
class Superbills:
    """What the practice's staff has made and exported so far; `files` holds every export by name."""

    visits: Mapping[str, SeedVisit]
    timezone: ZoneInfo
    folder: Path | None
    repeat_every: int = 3
    files: dict[str, str] = field(default_factory=dict)
    _waiting: list[tuple[str, str]] = field(default_factory=list)
    _again: list[str] = field(default_factory=list)
    _made: int = 0

    def make(self, encounter_id: str, status: str = READY) -> None:
        """A superbill for a signed encounter; it is in the next export."""
        if encounter_id in self.visits:
            self._waiting.append((encounter_id, status))

    def repeat(self, encounter_id: str) -> None:
        """Send a superbill once more."""
        self._again.append(encounter_id)

    def double_first_line(self, encounter_id: str) -> bool:
        """A late edit: twice the units of the first line; False when there is no line."""
        visit = self.visits[encounter_id]
        if not visit.lines:
            return False
        first, *others = visit.lines
        changed = replace(first, quantity=first.quantity * 2)
        self.visits = {**self.visits, encounter_id: replace(visit, lines=(changed, *others))}
        return True

    def export(self) -> str | None:
        """Write what waits into a new file, and what somebody sends twice; its name, or None for nothing."""
        due = dict.fromkeys([*((e, READY) for e in self._again), *self._waiting])
        if not due:
            return None
        self._waiting, self._again = [], []
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        for encounter_id, status in due:
            writer.writerows(self._rows(self.visits[encounter_id], status))
            self._made += 1
            if status == READY and self._made % self.repeat_every == 0:
                self._again.append(encounter_id)
        name = f"superbills-{len(self.files) + 1:04d}.csv"
        self.files[name] = text.getvalue()
        self._write(name, self.files[name])
        return name

    def _write(self, name: str, text: str) -> None:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = self.folder / f"{name}.part"
            partial.write_text(text, "utf-8", newline="")
            partial.rename(self.folder / name)

    def _rows(self, visit: SeedVisit, status: str) -> Iterator[dict[str, str]]:
        lines = visit.lines or (SeedLine("", "", (), Decimal(1), None, ()),)
        for line in lines:
            yield {**self._head(visit), **_line(visit, line), "status": status}

    def _head(self, visit: SeedVisit) -> dict[str, str]:
        start = visit.start
        return {
            "superbill_id": f"SB-{visit.id}",
            "mrn": record_number(visit.patient),
            "dos": start.astimezone(self.timezone).date().isoformat() if start else "",
            "rendering_npi": codes.identifier(visit.rendering or {}, codes.NPI) or "",
            "facility": str((visit.location or {}).get("name", "")),
            "pa": visit.authorization,
        }


def _line(visit: SeedVisit, line: SeedLine) -> dict[str, str]:
    """A line with its own diagnoses; a pointer to none of the visit's becomes one to none of the row's."""
    known = [p for p in line.pointers if 0 < p <= len(visit.diagnoses)][:MOST_DIAGNOSES]
    letters = "".join("ABCD"[i] for i in range(len(known)))
    dangling = "D" if len(known) < len(line.pointers) and len(known) < MOST_DIAGNOSES else ""
    charge = Decimal(0) if _keeps_no_fees(visit) or line.unit_price is None else line.unit_price * line.quantity
    return {
        **{f"dx{i}": visit.diagnoses[p - 1].icd10 for i, p in enumerate(known, start=1)},
        **{f"mod{i}": modifier for i, modifier in enumerate(line.modifiers, start=1)},
        "cpt": line.code,
        "units": f"{line.quantity:f}",
        "charge": f"{charge:.2f}",
        "dx_ptr": letters + dangling,
    }


def _keeps_no_fees(visit: SeedVisit) -> bool:
    return sum(visit.id.encode()) % 2 == 0
