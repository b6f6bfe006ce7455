"""How the list reads filter: equal texts, and From/To ranges of dates (vendor document, section 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from adapters.billing.kareo_tebra.simulator.parser import SoapFault, Values
from adapters.billing.kareo_tebra.simulator.replies import BusinessError

_FORMATS = ("%Y-%m-%d", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%S", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p")
_RANGE = ("From", "To")


def filter_moment(criterion: str, text: str) -> datetime:
    """The date of a criterion, which is a string in either form: ISO 8601 or month first."""
    for form in _FORMATS:
        try:
            return datetime.strptime(text.strip(), form)  # noqa: DTZ007 (the service knows no zones)
        except ValueError:
            continue
    raise BusinessError(f"The value of {criterion} is not a valid date, please verify")


def bounds(criteria: Values, what: str) -> tuple[date | None, date | None]:
    """The days of `From<what>` and `To<what>`, None where the criterion is not given."""
    days = [
        filter_moment(end + what, criteria[end + what]).date() if criteria.get(end + what) else None for end in _RANGE
    ]
    return days[0], days[1]


def closed(first: date | None, last: date | None, days: int = 7) -> tuple[date, date] | None:
    """Both ends of a range; a half-open range is `days` long, no range at all is None."""
    if first and last:
        return first, last
    if first:
        return first, first + timedelta(days=days)
    return (last - timedelta(days=days), last) if last else None


def check_posting_span(criteria: Values) -> None:
    """Raise a fault when the posting dates span more than 60 days."""
    first, last = bounds(criteria, "PostingDate")
    if first and last and last - first > timedelta(days=60):
        raise SoapFault("InternalServiceFault", "Validation failed: the posting date range must not exceed 60 days.")


@dataclass(frozen=True)
class Matcher:
    """What a filter's criteria look at in a record.

    `texts` gives the texts that a criterion may equal, without regard to case. `moments` gives the date or moment of
    a From/To pair by the name that follows From and To. `exclusive` names the pairs whose To is not part of the range,
    `half_open_days` the length of a range with one end where the service sets one.
    """

    texts: Mapping[str, Callable[[Any], tuple[str | None, ...]]]
    moments: Mapping[str, Callable[[Any], date | datetime | None]]
    exclusive: frozenset[str] = frozenset()
    half_open_days: int | None = None
    ignored: frozenset[str] = field(default=frozenset())

    def select(self, criteria: Values, records: list[Any]) -> list[Any]:
        """The records that meet all criteria, in their order."""
        given = {name: value for name, value in criteria.items() if value and name not in self.ignored}
        tests = [self._text_test(name, value) for name, value in given.items() if name in self.texts]
        pairs = sorted({name.removeprefix("From").removeprefix("To") for name in given if name not in self.texts})
        tests += [self._range_test(pair, given) for pair in pairs]
        return [record for record in records if all(test(record) for test in tests)]

    def _text_test(self, name: str, value: str) -> Callable[[Any], bool]:
        wanted, texts = value.casefold(), self.texts[name]
        return lambda record: any(text is not None and text.casefold() == wanted for text in texts(record))

    def _range_test(self, pair: str, given: Values) -> Callable[[Any], bool]:
        first, last = bounds(given, pair)
        if self.half_open_days is not None:
            first, last = closed(first, last, self.half_open_days) or (None, None)
        moment, exclusive = self.moments[pair], pair in self.exclusive

        def inside(record: Any) -> bool:
            found = moment(record)
            if found is None:
                return False
            day = found.date() if isinstance(found, datetime) else found
            return (first is None or day >= first) and (last is None or day < last or (day == last and not exclusive))

        return inside
