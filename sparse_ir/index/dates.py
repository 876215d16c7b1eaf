"""Dates as points in time: ISO 8601 strings read and compared, to the microsecond."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from typing import Any

# Not datetime.fromisoformat: what it reads grows with Python's version.
_ISO_8601 = re.compile(
    r"""(\d{4})-(\d\d)-(\d\d)
        (?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?
           (?:([Zz])|([+-])(\d\d):?(\d\d))?
        )?""",
    re.VERBOSE | re.ASCII,
)
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def parse_date(text: str) -> datetime | None:
    """The date, or date and time with or without a zone, that the text is; None if it is none."""
    match = _ISO_8601.fullmatch(text)
    if match is None:
        return None
    *clock, fraction, zulu, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        moment = datetime(*(int(part or 0) for part in clock))  # type: ignore[arg-type]
        moment += _MICROSECOND * int((fraction or "")[:6].ljust(6, "0"))
        if zulu or sign:
            return moment.replace(tzinfo=timezone(-offset if sign == "-" else offset))
    except ValueError:  # the 30th of February
        return None
    return moment


def as_moment(value: date) -> tuple[int, int | None]:
    """Microseconds since 1970, and the zone's offset from UTC in seconds; None without a zone.

    Without a zone they are counted on the date's own clock, else in UTC.
    """
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    clock, offset = value.replace(tzinfo=None) - _EPOCH, value.utcoffset()
    if offset is None:
        return clock // _MICROSECOND, None
    return (clock - offset) // _MICROSECOND, int(offset.total_seconds())


def moment_of(value: Any, zone: int | None) -> int | None:
    """Microseconds since 1970 of an ISO 8601 string, to be compared with a date in that zone.

    If only one of the two names its zone, both are in that zone. None if the value is no date.
    """
    moment = parse_date(value) if isinstance(value, str) else None
    if moment is None:
        return None
    if zone is None:
        moment = moment.replace(tzinfo=None)
    elif moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone(timedelta(seconds=zone)))
    return as_moment(moment)[0]
