r"""Conversations: a title, what the server and the client say, and what the program hears.

The texts stand beside this file, one conversation after the other::

    The server refuses the only recipient.

        to: c@d.test
        S: 220 mx.test ESMTP
        C: EHLO *
        ...
        => SMTP at rcpt: 550 5.1.1 who?
        => <c@d.test> refused: 550 5.1.1 who?

A line that is not indented is a title; one that begins with ``#`` is a comment. The steps are
those of `servers.script`. Around them may stand:

==============================  ================================================================
``to: a@b.test, c@d.test``      the recipients; default ``c@d.test``
``from: <>``                    the sender; default ``a@b.test``
``body: text``                  the mail's text; ``\n`` and the like count as in Python
``tls: starttls``               TLS is required; ``auto``: it is used if it is to be had. Without
                                this line, nobody offers any
``as: tim secret``              the user name and password; they may go without TLS
``only: dialog``                the levels that can play it: ``dialog``, ``memory``, ``socket``
``=> accepted: 250 Ok``         the mail was accepted, with this reply to the dot
``=> SMTP at mail: 550 no``     it was not: kind, stage, and the reply that decided, if any
``=> SMTP at mail, try again``  the same, and trying again later is sensible
``=> ... perhaps accepted``     the same, and nobody knows (RFC 1047)
``=> <a@b.test> accepted: 250`` what became of one recipient; if there are any, then for all
``=> <a@b.test> refused``       without a reply of its own
``=> warning: text``            what was odd but did not matter; all of them, in order
``=> detail: text``             the line for people
==============================  ================================================================

In all these, ``*`` stands for any text.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykka_smtp.testing.talk.script import Step, matches, parse_script

LEVELS = ("dialog", "memory", "socket")

_OUTCOME = re.compile(
    r"(?P<kind>accepted|[A-Z]+ at [a-z]+)"
    r"(?P<again>, try again)?(?P<doubt>, perhaps accepted)?(?:: (?P<reply>.*))?"
)
_RECIPIENT = re.compile(r"<(?P<address>.*)> (?P<what>accepted|refused)(?:: (?P<reply>.*))?")


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """One conversation.

    Attributes:
        title: a sentence.
        sender: the reverse-path, as a program gives it.
        recipients: the forward-paths.
        body: the text of the mail.
        tls: what the client does about TLS: ``off``, ``auto`` or ``starttls``.
        login: the user name and password, or None.
        levels: who can play it.
        steps: what is said.
        expected: what the program hears, as it stands in the text.
    """

    title: str
    sender: str = "a@b.test"
    recipients: tuple[str, ...] = ("c@d.test",)
    body: str = "Hello\n.\n..b\nend"
    tls: str = "off"
    login: tuple[str, str] | None = None
    levels: tuple[str, ...] = LEVELS
    steps: tuple[Step, ...]
    expected: tuple[str, ...] = field(repr=False)

    @property
    def mail(self) -> bytes:
        """The mail, complete."""
        return f"Subject: a conversation\n\n{self.body}".encode()

    @property
    def mail_data(self) -> bytes:
        """The mail on the wire: CRLF, dots doubled, the lone dot (RFC 5321 §4.5.2)."""
        lines = self.mail.split(b"\n")
        doubled = [b"." + line if line.startswith(b".") else line for line in lines]
        return b"\r\n".join([*doubled, b".", b""])

    def check(self, result: Any) -> None:
        """Compare with what became of the mail: a verdict, or an outcome."""
        told = Told(result)
        problems = [f"{line!r} is not so" for line in self.expected if not told.agrees(line)]
        problems += told.missing(self.expected) + told.contradictions(self.recipients)
        assert not problems, "\n".join([*problems, f"it was: {told}"])


class Told:
    """What became of a mail, in the words of a conversation.

    Args:
        result: an `Accepted` or a `Failed`, a `SendSuccess` or a `SendFailure`: the names are
            the same.
    """

    def __init__(self, result: Any) -> None:
        self._result = result
        self.reply = None if result.reply is None else str(result.reply)
        self.accepted = not hasattr(result, "kind")
        self.what = "accepted" if self.accepted else f"{result.kind.name} at {result.stage}"
        self.again = not self.accepted and result.retryable
        self.doubt = not self.accepted and result.maybe_accepted

    def agrees(self, line: str) -> bool:
        """Whether one expectation holds."""
        if line.startswith("detail: "):
            return matches(line[8:], self._result.detail)
        if line.startswith("warning: "):
            return any(matches(line[9:], warning) for warning in self._result.warnings)
        if found := _RECIPIENT.fullmatch(line):
            return any(
                recipient.address == found["address"]
                and recipient.accepted is (found["what"] == "accepted")
                and _same(found["reply"], recipient.reply)
                for recipient in self._result.recipients
            )
        found = _OUTCOME.fullmatch(line)
        assert found, f"no expectation: {line!r}"
        return (
            found["kind"] == self.what
            and bool(found["again"]) is self.again
            and bool(found["doubt"]) is self.doubt
            and _same(found["reply"], self._result.reply)
        )

    def missing(self, lines: tuple[str, ...]) -> list[str]:
        """Tell what was not expected, but is there."""
        problems: list[str] = []
        warnings = sum(line.startswith("warning: ") for line in lines)
        if len(self._result.warnings) != warnings:
            problems.append(f"{warnings} warnings expected")
        recipients = sum(line.startswith("<") for line in lines)
        if recipients not in (0, len(self._result.recipients)):
            problems.append("not all recipients expected")
        if len(lines) <= warnings + recipients:
            problems.append("no outcome expected")
        return problems

    def contradictions(self, recipients: tuple[str, ...]) -> list[str]:
        """Tell what can't be true of any outcome."""
        result, problems = self._result, []
        if tuple(recipient.address for recipient in result.recipients) != recipients:
            problems.append("not one result for each recipient, in order")
        if any(recipient.accepted for recipient in result.recipients) is not self.accepted:
            problems.append("the recipients contradict the outcome")
        if self.again and self.doubt:
            problems.append("trying again could make a duplicate")
        if not self.accepted and not result.detail.isprintable():
            problems.append("the detail is not one line")
        return problems

    def __str__(self) -> str:
        again = ", try again" if self.again else ""
        doubt = ", perhaps accepted" if self.doubt else ""
        lines = [f"{self.what}{again}{doubt}" + ("" if self.reply is None else f": {self.reply}")]
        for recipient in self._result.recipients:
            what = "accepted" if recipient.accepted else "refused"
            reply = "" if recipient.reply is None else f": {recipient.reply}"
            lines.append(f"<{recipient.address}> {what}{reply}")
        lines += [f"warning: {warning}" for warning in self._result.warnings]
        if not self.accepted:
            lines.append(f"detail: {self._result.detail}")
        return "\n".join(f"    => {line}" for line in lines)


def conversations(level: str) -> list[Conversation]:
    """Return all that this level can play."""
    folder = Path(__file__).parent
    found = [
        conversation
        for path in sorted(folder.glob("*.txt"))
        for conversation in read(path.read_text(encoding="utf-8"))
    ]
    titles = [conversation.title for conversation in found]
    twice = {title for title in titles if titles.count(title) > 1}
    if not found or twice:
        raise ValueError(f"no conversations, or these titles stand there twice: {twice}")
    return [conversation for conversation in found if level in conversation.levels]


def read(text: str) -> list[Conversation]:
    """Read the conversations in a text."""
    blocks: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            blocks.append((line.strip(), []))
        elif not blocks:
            raise ValueError(f"before the first title: {line!r}")
        else:
            blocks[-1][1].append(line.strip())
    return [_conversation(title, lines) for title, lines in blocks]


def _conversation(title: str, lines: list[str]) -> Conversation:
    given: dict[str, Any] = {}
    steps: list[str] = []
    expected: list[str] = []
    for line in lines:
        name, _, value = line.partition(" ")
        match name:
            case "to:":
                given["recipients"] = tuple(address.strip() for address in value.split(","))
            case "from:":
                given["sender"] = value
            case "body:":
                plain = value.encode("latin-1", "backslashreplace")
                given["body"] = plain.decode("unicode_escape")
            case "tls:":
                given["tls"] = value
            case "as:":
                given["login"] = tuple(value.split(" ", 1))
            case "only:":
                given["levels"] = tuple(value.split())
            case "=>":
                expected.append(value)
            case _:
                steps.append(line)
    if not expected or not set(given.get("levels", ())) <= set(LEVELS):
        raise ValueError(f"{title!r} expects nothing, or names a level that is none")
    if given.get("tls", "off") not in ("off", "auto", "starttls"):
        raise ValueError(f"{title!r} wants a TLS that is none")
    parsed = tuple(parse_script("\n".join(steps)))
    return Conversation(title=title, steps=parsed, expected=tuple(expected), **given)


def _same(pattern: str | None, reply: Any) -> bool:
    if pattern is None or reply is None:
        return pattern is reply
    return matches(pattern, str(reply))
