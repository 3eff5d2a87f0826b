"""Numbers as people write them: shares, differences, counts, durations, sizes."""

from collections.abc import Sequence

_MORE_DIGITS = 3


def percent(share: float | None, digits: int = 1) -> str:
    """A share as per cent: 0.912 is "91.2%"; None is an en dash.

    What is less than all, or more than nothing, is not rounded to it: 0.9996 is "99.96%".
    """
    return "–" if share is None else f"{_hundredths(share, digits)}%"


def _hundredths(share: float, digits: int) -> str:
    """100 times a share, with at least so many digits, and more where it would seem 0 or 100."""
    for more in range(digits, digits + _MORE_DIGITS + 1):
        text = f"{100 * share:.{more}f}"
        if float(text) not in (0, 100) or share in (0, 1):
            return text
    return f"{100 * share:.{digits}f}"


def as_published(share: float | None) -> str:
    """A share as per cent, with as many digits as it was given: 0.7 is "70%", 0.6305 "63.05%"."""
    return "–" if share is None else f"{100 * share:.6g}%"


def certainty(probability: float) -> str:
    """A model's probability as per cent, never rounded up to 100%: 0.9999 is "> 99.9%"."""
    return ">\N{NO-BREAK SPACE}99.9%" if probability >= 0.9995 else percent(probability)


def between(interval: Sequence[float] | None, digits: int = 1) -> str:
    """An interval of shares: [0.906, 0.918] is "90.6–91.8%"; None is an en dash."""
    if interval is None:
        return "–"
    low, high = interval
    return f"{_hundredths(low, digits)}–{_hundredths(high, digits)}%"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign: 0.013 is "+1.30"."""
    text = f"{100 * difference:+.2f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def moment(time: str) -> str:
    """An ISO time in UTC, to the minute: "2026-01-31 09:05 UTC"."""
    return f"{time[:10]} {time[11:16]} UTC"


def count(number: float) -> str:
    """A whole number with commas: 10000 is "10,000"."""
    return f"{number:,.0f}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: 1 is "1 image", 12000 is "12,000 images"."""
    return f"{count(number)} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], *, most: int | None = None) -> str:
    """Names in a sentence: "ant, bee and cow"; of more than `most`, "ant, bee and 7 more"."""
    more = 0 if most is None else max(0, len(names) - most)
    shown = [*names[:most], f"{more} more"] if more else names
    *first, last = shown or [""]
    return f"{', '.join(first)} and {last}" if first else last


def duration(seconds: float) -> str:
    """Seconds for people: 151 is "2 min 31 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def flop(number: float) -> str:
    """Floating-point operations for people: 284300000000000 is "284 TFLOP"; three digits."""
    units = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"))
    size, unit = next((entry for entry in units if number >= entry[0]), units[-1])
    return f"{number / size:.3g} {unit}"


def size(number: float) -> str:
    """Bytes for people: 153600000 is "154 MB"; three digits."""
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes"))
    unit, name = next((entry for entry in units if number >= entry[0]), units[-1])
    return f"{number / unit:.3g} {name}"


def p_value(value: float) -> str:
    """A p-value as far as it means anything: 0.0002 is "< 0.001"."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
