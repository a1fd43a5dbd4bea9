"""What real servers delivered: they pass their mails on to a scripted server, by SMTP or LMTP."""

import dataclasses
import re
from collections.abc import Callable, Mapping

from .scripted import ReceivedMail, ScriptedServer, polite

MARKER = "X-REFUSE-THIS-MAIL"
"""Servers that look into mails refuse those with this text, with 554 or 550, at the dot."""

OFFERED = ("8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8")

FIELD = re.compile(rb"[!-9;-~]+[ \t]*:(?:[^\n]*\n)(?:[ \t][^\n]*\n)*")
"""A header field with its continuation lines (RFC 5322 §2.2)."""


class Delivered(ScriptedServer):
    """Where a server delivers to.

    Args:
        trace: names of the header fields that the server puts on top, in lower case, each as
            often as it does; they are cut off from the mails.
        replies: what to say to the server instead of yes; see `pykka_smtp.testing.polite`.
    """

    def __init__(self, *trace: str, replies: Mapping[str, str] | None = None) -> None:
        super().__init__(polite(*OFFERED, replies=replies))
        self._trace = trace

    @property
    def mails(self) -> tuple[ReceivedMail, ...]:
        """What was delivered, without the server's own header fields."""
        return tuple(without_trace(mail, *self._trace) for mail in super().mails)

    def wait_for_delivery(
        self, predicate: Callable[[], object], timeout: float, log: Callable[[], str]
    ) -> None:
        """Wait until the predicate holds; it is asked after each step of a delivery.

        Args:
            predicate: asked at least once.
            timeout: seconds.
            log: the server's log, for people.

        Raises:
            AssertionError: it did not hold in time.
        """
        try:
            self.wait_for(predicate, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\nthe server's log:\n{log()}") from None


def without_trace(mail: ReceivedMail, *names: str) -> ReceivedMail:
    """Cut the header fields off that a server has put on top (RFC 5321 §4.4).

    Args:
        mail: as it was delivered.
        names: the fields' names in lower case, each as often as the server writes it.
    """
    data, left = mail.data, list(names)
    while left and (match := FIELD.match(data)):
        name = match[0].partition(b":")[0].strip().decode().lower()
        if name not in left:
            break
        left.remove(name)
        data = data[match.end() :]
    return dataclasses.replace(mail, data=data)
