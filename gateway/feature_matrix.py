"""The feature matrix: what each installed adapter can do, from the fact sheets alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.ports.billing import BillingAdapterInfo, BillingCapability
from gateway.ports.ehr import EhrAdapterInfo, EhrCapability
from gateway.registry import BILLING_GROUP, EHR_GROUP, adapter_names, load_adapter

BEGIN, END = "<!-- adapters -->", "<!-- /adapters -->"
"""Where README.md holds the table."""

_EHR: Mapping[str, EhrCapability] = {
    "notifications": EhrCapability.NOTIFY,
    "polling": EhrCapability.POLL,
    "subscribes by itself": EhrCapability.SUBSCRIBE,
    "proves its hook": EhrCapability.CHALLENGE,
    "backfill": EhrCapability.BACKFILL,
    "write back": EhrCapability.WRITE_BACK,
    "asks for consent": EhrCapability.CONSENT,
}
_BILLING: Mapping[str, BillingCapability] = {
    "look before resend": BillingCapability.FIND_SUBMISSION,
    "safe repeat": BillingCapability.REPEAT,
    "poll outcomes": BillingCapability.POLL_OUTCOME,
    "inbound outcomes": BillingCapability.INBOUND_OUTCOME,
    "correct": BillingCapability.CORRECT,
    "void": BillingCapability.VOID,
    "secondary payer": BillingCapability.SECONDARY_PAYER,
    "batch": BillingCapability.BATCH,
}


def fact_sheets(group: str) -> list[Any]:
    """The fact sheets of all installed adapters of a group; raises `ConfigurationError` for one that cannot load."""
    return [load_adapter(group, name, "entry points") for name in adapter_names(group)]


def matrix(*, built_in: bool = False) -> str:
    """Both tables as Markdown; with `built_in` without the adapters that other packages add."""
    kept = _is_built_in if built_in else bool
    ehr: list[EhrAdapterInfo] = [info for info in fact_sheets(EHR_GROUP) if kept(info)]
    billing: list[BillingAdapterInfo] = [info for info in fact_sheets(BILLING_GROUP) if kept(info)]
    return "\n".join((*_ehr_table(ehr), "", *_billing_table(billing)))


def with_matrix(text: str) -> str:
    """A document with the present table between its markers; raises `ValueError` when it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{matrix(built_in=True)}\n\n{END}{after}"


def _ehr_table(infos: Iterable[EhrAdapterInfo]) -> Iterator[str]:
    yield from _head("EHR adapter", "system", *_EHR)
    for info in infos:
        yield _row(_link(info, "ehr"), info.title, *(_mark(c in info.capabilities) for c in _EHR.values()))


def _billing_table(infos: Iterable[BillingAdapterInfo]) -> Iterator[str]:
    yield from _head("billing adapter", "system", "submit", *_BILLING)
    for info in infos:
        can = (_mark(capability in info.capabilities) for capability in _BILLING.values())
        yield _row(_link(info, "billing"), info.title, _mark(True), *can)


def _link(info: Any, folder: str) -> str:
    return f"[`{info.name}`](adapters/{folder}/{info.name}/README.md)" if _is_built_in(info) else f"`{info.name}`"


def _is_built_in(info: Any) -> bool:
    return bool(info.settings.__module__.startswith("adapters."))


def _head(*names: str) -> tuple[str, str]:
    return _row(*names), f"|{'---|' * len(names)}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _mark(there: bool) -> str:
    return "yes" if there else "-"
