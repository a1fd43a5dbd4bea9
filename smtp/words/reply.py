"""A server's reply (RFC 5321 §4.2)."""

import functools
import re
from dataclasses import dataclass

_ENHANCED = re.compile(r"([245])\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})(?= |$)")
_ENHANCED_MAX = 11  # characters: the longest code has nine, and the character after it counts


@functools.lru_cache(maxsize=256)  # a server sends the same few replies for every email
def _enhanced(code: int, text: str) -> tuple[str | None, bool]:
    """Return the enhanced status code of a reply, and whether there is one that contradicts it."""
    match = _ENHANCED.match(text)
    if match is None:
        return None, False
    if int(match[1]) != code // 100:
        return None, True
    return match[0], False


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply.

    Attributes:
        code: the reply code, 200 to 599.
        lines: the text of each line, without code and line end. Octets that are not UTF-8, and
            control characters, are backslash escapes, so that a reply can be logged and printed.
    """

    code: int
    lines: tuple[str, ...] = ("",)

    @property
    def text(self) -> str:
        """The text of all lines, joined by newlines."""
        return "\n".join(self.lines)

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code, such as ``"5.1.1"`` (RFC 3463, RFC 2034 §4).

        None if the reply has none, or one whose class contradicts the reply code: then only the
        reply code counts.
        """
        return _enhanced(self.code, self.lines[0][:_ENHANCED_MAX])[0]

    @property
    def contradicts_itself(self) -> bool:
        """Whether there is an enhanced status code whose class contradicts the reply code."""
        return _enhanced(self.code, self.lines[0][:_ENHANCED_MAX])[1]

    @property
    def is_positive(self) -> bool:
        """Whether the code is 2yz: the command succeeded."""
        return 200 <= self.code <= 299

    @property
    def is_intermediate(self) -> bool:
        """Whether the code is 3yz: the server expects more input."""
        return 300 <= self.code <= 399

    @property
    def is_transient(self) -> bool:
        """Whether the code is 4yz: a transient failure."""
        return 400 <= self.code <= 499

    @property
    def is_permanent(self) -> bool:
        """Whether the code is 5yz: a permanent failure."""
        return 500 <= self.code <= 599

    def __str__(self) -> str:
        return f"{self.code} {' '.join(self.lines)}".rstrip()
