"""Lines for a terminal, in which no name can forge another line or move the cursor."""

import unicodedata

# Signs that turn the direction of what follows them: "\u202egpj.exe" would look like "exe.jpg".
_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def shown(line: str) -> str:
    r"""The line with control characters spelled out, as "\x1b" or "\n".

    Names of files and of classes may hold any: those of a data set that somebody else has made.
    Bytes of a name that are no UTF-8 are spelled as `data.file_tree.printable` does: "caf\xe9".
    """
    if line.isprintable():
        return line
    return "".join(each if _is_harmless(each) else _spelled(each) for each in line)


def _is_harmless(sign: str) -> bool:
    if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp"):
        return False
    return unicodedata.bidirectional(sign) not in _TURNING


def _spelled(sign: str) -> str:
    if "\udc80" <= sign <= "\udcff":  # how Python keeps a byte that is no UTF-8
        return rf"\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode()
