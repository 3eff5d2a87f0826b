"""Lines for a terminal, in which no name can forge another line or move the cursor."""

import unicodedata

# Signs that turn the direction of what follows them: "\u202egpj.exe" would look like "exe.jpg".
_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def shown(line: str) -> str:
    r"""The line with control characters spelled out, as "\x1b" or "\n".

    Names of files and of classes may hold any: those of a data set that somebody else has made.
    """
    if line.isprintable():
        return line
    return "".join(each if _is_harmless(each) else _spelled(each) for each in line)


def _is_harmless(sign: str) -> bool:
    if unicodedata.category(sign) in ("Cc", "Zl", "Zp"):
        return False
    return unicodedata.bidirectional(sign) not in _TURNING


def _spelled(sign: str) -> str:
    return sign.encode("unicode_escape").decode()
