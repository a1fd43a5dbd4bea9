r"""Conversation scripts: what a server says, and what it expects to hear, as text.

No sockets here: the same script runs on every stage. One step a line; indentation, blank lines
and lines that begin with ``#`` do not count::

    # The server takes the mail.
    S: 220 mx.test ESMTP
    C: EHLO *
    S: 250 mx.test
    C: MAIL FROM:<*>
    S: 250 2.1.0 Ok

``S: text`` sends the line and CRLF. ``C: text`` expects that line; ``*`` stands for any text,
and the command may be in either case.

=================  ===============================================================================
``C: <data>``      reads mail data up to and including the lone dot
``C: <chunk>``     reads as many octets as the last BDAT line said (RFC 3030 §2)
``C: <eof>``       expects that the client hangs up, and says nothing before
``S! raw a\r\n``   sends these octets and nothing else; Python's escapes count
``S! drip a``      sends the line and CRLF, octet by octet
``S! drip a…``     the same without an end: the last octet again and again until the client leaves
``S! close``       closes (FIN), once all before has been sent
``S! reset``       closes at once (RST)
``S! silence``     reads on and answers nothing, until the client leaves or the test ends
``S! deaf``        does not even read, until the test ends
``S! tls``         starts TLS as the server (the 220 before it is a step of its own)
=================  ===============================================================================
"""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .acts import Act, Chunk, Deed, Drip, Line, Talk


class ScriptMismatch(AssertionError):  # noqa: N818 - reads as what it is
    """The client did what the script does not expect."""


class Action(enum.Enum):
    """What a step does."""

    SEND = "S:"
    EXPECT = "C:"
    DATA = "C: <data>"
    CHUNK = "C: <chunk>"
    EOF = "C: <eof>"
    RAW = "S! raw"
    DRIP = "S! drip"
    DRIP_ON = "S! drip …"
    CLOSE = "S! close"
    RESET = "S! reset"
    SILENCE = "S! silence"
    DEAF = "S! deaf"
    TLS = "S! tls"


_COMMAND = re.compile(r"^(MAIL FROM:|RCPT TO:|[^ *]*)")

_BDAT = re.compile(r"BDAT ([0-9]{1,12})( LAST)?", re.IGNORECASE)

_READS = {action.value: action for action in (Action.DATA, Action.CHUNK, Action.EOF)}
_DEEDS = {
    action.value: action
    for action in (Action.CLOSE, Action.RESET, Action.SILENCE, Action.DEAF, Action.TLS)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a script.

    Attributes:
        action: what to do.
        text: what to send or expect, as it stands in the script; empty for deeds.
        number: the line in the script, from 1.
    """

    action: Action
    text: str = ""
    number: int = 0

    @property
    def octets(self) -> bytes:
        """What the server sends at this step; empty where it sends nothing.

        For `Action.DRIP_ON` the octets that come first; the last is repeated.
        """
        match self.action:
            case Action.SEND | Action.DRIP:
                return encode(self.text) + b"\r\n"
            case Action.DRIP_ON:
                return encode(self.text)
            case Action.RAW:
                plain = self.text.encode("latin-1", "backslashreplace")
                return plain.decode("unicode_escape").encode("latin-1")
            case _:
                return b""

    def matches(self, line: str) -> bool:
        """Tell whether the client's line, without CRLF, is what this step expects."""
        return matches(self.text, line)

    def act(self, last_line: str) -> Act:
        """Give what a server does at this step.

        Args:
            last_line: what the client has said last: a chunk is as long as it says.

        Raises:
            ScriptMismatch: it announced no chunk.
        """
        match self.action:
            case Action.SEND | Action.RAW:
                return self.octets
            case Action.DRIP | Action.DRIP_ON:
                return Drip(self.octets, is_endless=self.action is Action.DRIP_ON)
            case Action.EXPECT:
                return Line(self.text)
            case Action.CHUNK:
                return announced_chunk(last_line)
            case _:
                return Deed[self.action.name]

    def __str__(self) -> str:
        return f"line {self.number}: {self.action.value} {self.text}".rstrip()


def parse_script(text: str) -> list[Step]:
    """Read a script.

    Args:
        text: the script; see the module's page for what may stand in it.

    Raises:
        ValueError: a line is no step, or there is no step at all.
    """
    steps = [
        _step(line.strip(), number)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.strip().startswith("#")
    ]
    if not steps:
        raise ValueError("the script has no step; write lines such as 'S: 220 mx.test'")
    return steps


def play(steps: Sequence[Step]) -> Talk:
    """Give the talk of a script.

    Raises:
        ScriptMismatch: the client does not keep to it.
    """
    last = ""
    for step in steps:
        try:
            heard = yield step.act(last)
            if step.action is Action.EXPECT:
                last = expected(step.text, decode(heard))
        except ScriptMismatch as mismatch:
            raise ScriptMismatch(f"{mismatch} ({step})") from None


def expected(pattern: str, line: str) -> str:
    """See that a line is what a script expects, and return it.

    Raises:
        ScriptMismatch: it is not.
    """
    if not matches(pattern, line):
        raise ScriptMismatch(f"the client said {line!r} where the script expects {pattern!r}")
    return line


def announced_chunk(line: str) -> Chunk:
    """Give the chunk that a BDAT announces (RFC 3030 §2).

    Raises:
        ScriptMismatch: it announces none.
    """
    match = _BDAT.fullmatch(line)
    if match is None:
        raise ScriptMismatch("the script reads a chunk where the client announced none")
    return Chunk(int(match[1]), bool(match[2]))


def matches(pattern: str, line: str) -> bool:
    """Tell whether the whole line fits the pattern, in which only ``*`` is special.

    The command may be in either case (RFC 5321 §2.4): the text up to the first space, and of
    MAIL and RCPT up to the colon.
    """
    command, rest = _COMMAND.split(pattern, maxsplit=1)[1:]
    text = ".*".join(map(re.escape, rest.split("*")))
    return re.fullmatch(f"(?i:{re.escape(command)}){text}", line, re.DOTALL) is not None


def encode(text: str) -> bytes:
    """Give the octets of a script's text: UTF-8; `decode`'s result comes back unchanged."""
    return text.encode("utf-8", "surrogateescape")


def decode(octets: bytes) -> str:
    """Give text for octets; those that are no UTF-8 stand as surrogates."""
    return octets.decode("utf-8", "surrogateescape")


def _step(line: str, number: int) -> Step:
    mark, rest = line[:2], line[2:].strip()
    if line in _READS:
        return Step(action=_READS[line], number=number)
    if mark == "S:":
        return Step(action=Action.SEND, text=rest, number=number)
    if mark == "C:" and not rest.startswith("<"):
        return Step(action=Action.EXPECT, text=rest, number=number)
    if mark == "S!":
        return _deed(rest, line, number)
    raise ValueError(f"line {number} of the script is no step: {line!r}")


def _deed(rest: str, line: str, number: int) -> Step:
    word, _, text = rest.partition(" ")
    if word == "raw" and text:
        return Step(action=Action.RAW, text=text, number=number)
    if word == "drip" and text:
        endless = text.endswith("…")
        action = Action.DRIP_ON if endless else Action.DRIP
        return Step(action=action, text=text.removesuffix("…"), number=number)
    if f"S! {rest}" not in _DEEDS:
        raise ValueError(f"line {number} of the script is no step: {line!r}")
    return Step(action=_DEEDS[f"S! {rest}"], number=number)
