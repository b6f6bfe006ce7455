"""What goes wrong with subscriptions on the way, or at the server, when `POST /_sim/subscriptions` says so."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(slots=True)
class Disturbance:
    """The JSON members of the control route.

    `drop`: so many of the next event deliveries are lost, and the server believes that they arrived. `swap`: so many of
    the next ones arrive after the one that follows. `silent`: no heartbeats. `kept_events`: how many of the last events
    $events still gives; None: all. `operations`: whether $status and $events are offered at all. `heartbeats`: whether
    a Subscription may ask for them.
    """

    drop: int = 0
    swap: int = 0
    silent: bool = False
    kept_events: int | None = None
    operations: bool = True
    heartbeats: bool = True

    def change(self, body: dict[str, Any]) -> None:
        """Take over what the body names; raises `ValueError` for a member that is not known."""
        known = {field.name for field in fields(self)}
        if unknown := set(body) - known:
            raise ValueError(f"unknown: {sorted(unknown)}")
        for name, value in body.items():
            setattr(self, name, value)

    def loses(self) -> bool:
        """Whether the delivery at hand is lost."""
        self.drop -= (lost := self.drop > 0)
        return lost

    def delays(self) -> bool:
        """Whether the delivery at hand comes after the next one."""
        self.swap -= (late := self.swap > 0)
        return late
