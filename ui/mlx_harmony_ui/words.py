"""Numbers, sizes, times and long names as a person reads them. Knows nothing of chats, models or HTML."""

from datetime import date, datetime

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(amount: int) -> str:
    """Bytes in decimal units, as disks and downloads are labelled: 16_300_000 is `16 MB`."""
    value = float(amount)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("the last unit always returns")


def count(amount: int) -> str:
    """A whole number with thousands apart."""
    return f"{amount:,}"


def several(amount: int, thing: str, things: str = "") -> str:
    """That many of a thing: `1 chat`, `1,200 chats`; `things` where an s does not make many of it."""
    return f"{count(amount)} {thing if amount == 1 else things or thing + 's'}"


def ago(then_s: float, now_s: float) -> str:
    """How long since that moment, as coarse as people say it."""
    gone = now_s - then_s
    for length, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if gone >= length:
            return f"{several(int(gone // length), unit)} ago"
    return "just now"


def dated(then_s: float) -> str:
    """The day of that moment, in local time."""
    return datetime.fromtimestamp(then_s).astimezone().strftime("%d %b %Y").lstrip("0")


def duration(seconds: float) -> str:
    """A span of time: milliseconds under a second, one decimal under a minute, minutes after."""
    if seconds < 0.0005:
        return "0 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def moment(seconds: float) -> str:
    """A span of time where a tenth of a second is fine enough."""
    return duration(seconds) if seconds >= 60 else f"{max(0.1, seconds):.1f} s"


def rate(tokens_per_second: float) -> str:
    """Tokens a second."""
    return f"{tokens_per_second:.1f} tok/s" if tokens_per_second < 100 else f"{tokens_per_second:.0f} tok/s"


def percent(fraction: float) -> str:
    return f"{max(0.0, min(1.0, fraction)) * 100:.0f} %"


def shorten(name: str, limit: int = 40) -> str:
    """A long name cut in its middle, where names differ least."""
    if len(name) <= limit:
        return name
    head = (limit - 1) // 2
    return f"{name[:head]}…{name[-(limit - 1 - head) :]}"


def exact(then_s: float) -> str:
    """The moment itself, in local time, for a tooltip."""
    return datetime.fromtimestamp(then_s).astimezone().strftime("%d %b %Y, %H:%M:%S")


def day(then_s: float, today: date) -> str:
    """The heading a chat of that moment stands under."""
    that = datetime.fromtimestamp(then_s).astimezone().date()
    gone = (today - that).days
    if gone <= 0:
        return "Today"
    if gone == 1:
        return "Yesterday"
    if gone < 7:
        return "Last 7 days"
    if gone < 30:
        return "Last 30 days"
    return that.strftime("%B %Y")
