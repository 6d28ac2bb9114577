"""Server-sent events, as the HTML standard defines them: bytes in, the data of each event out."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

# The three line ends of the standard. str.splitlines would also split at U+2028 and its kin, which
# may stand unescaped inside JSON.
_LINE_END = re.compile(r"\r\n|\n|\r")


def event_data(chunks: Iterable[bytes]) -> Iterator[str]:
    """The data of each event in a stream that arrives in chunks, cut anywhere.

    Comments and other fields are passed over. An event that the stream ends in the middle of is
    not given out, as the standard has it.
    """
    data: list[str] = []
    for line in _lines(chunks):
        if not line:
            if data:
                yield "\n".join(data)
            data = []
            continue
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    rest = ""
    for chunk in chunks:
        rest += decoder.decode(chunk)
        # A carriage return at the very end may be the first half of one line end.
        held = "\r" if rest.endswith("\r") else ""
        *lines, rest = _LINE_END.split(rest.removesuffix("\r"))
        yield from lines
        rest += held
    if rest.endswith("\r"):
        yield rest[:-1]
