"""A dialog and the express lane beside each other: both hear the same, and must say the same.

Whoever plays a conversation with a `Twin` plays it with a `Dialog`, as which it behaves. Beside it
runs an `ExpressDialog`, where the email may go that way, with a session of its own.
"""

import copy
import dataclasses
import operator
from collections import Counter
from collections.abc import Callable
from typing import Any

from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.dialog.policy import SessionPolicy
from pykka_smtp.smtp.session.dialog.transcript import Trace
from pykka_smtp.smtp.session.express_dialog import ExpressDialog, dialog_for
from pykka_smtp.smtp.session.opening.session import Session
from pykka_smtp.smtp.session.step import CommandGroup, SendMailData
from pykka_smtp.smtp.session.transaction.delivery import Delivery

from .recut import FLAGS, Recording
from .violation import Violation, insist

_EVENTS = (
    *("connected", "start_next", "receive_data", "begin_held", "mail_data_sent", "tls_is_up"),
    *("tls_started", "callable_returned", "receive_eof", "connection_lost", "timed_out"),
    *("cancel", "fail"),
)
_FACTS = (
    *("stage", "steps", "verdict", "is_over", "may_end_mail_data", "has_unread"),
    "needs_channel_binding",
)
_facts: Callable[[Dialog], tuple[object, ...]] = operator.attrgetter(*_FACTS)
_INCOMPARABLE = frozenset({"redactor", "refused"})  # each has its own

_KNOWN = tuple(f.name for f in dataclasses.fields(Session) if f.name not in _INCOMPARABLE)

lanes: Counter[str] = Counter()
"""How often an email went all the way, or was handed over: a test of the tests looks at it."""


class Twin(Dialog):
    """A `Dialog`, beside which an `ExpressDialog` hears the same.

    Attributes:
        express: the other one; None where the email does not go that way.
        cut_every: where not 0, each conversation is played again when it is over, with a cut at
            every such octet of the replies; after the cut it goes on, or ends in one of some ways.
    """

    express: Dialog | None = None
    cut_every: int = 0
    _recording: Recording | None = None
    _has_begun = False
    _is_amid = False  # what happens now happens within something that both hear

    def __init__(
        self,
        delivery: SessionPolicy,
        trace: Trace | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        super().__init__(delivery, trace, redact)
        self._hide = redact

    def _happens(self, name: str, *args: Any, **named: Any) -> Any:
        """Let something happen to both, and compare what comes of it."""
        if not self._has_begun and not self._is_amid:
            # Not before: until here, what is known of the session may change.
            self._has_begun = True
            if type(self.delivery) is Delivery:
                self.express = _express(self.delivery, self._hide)
                if self.express is not None and self.cut_every:
                    self._recording = Recording(self.delivery)
        if self._recording is not None and not self._is_amid:
            self._recording.note(self, name, args, named)
        mine, other = getattr(Dialog, name), self.express
        if other is None or self._is_amid:
            return mine(self, *args, **named)
        self._learn(other)
        self._is_amid = True
        try:
            expected = mine(self, *args, **named)
        except BaseException:
            self.express = None  # a defect: where exactly it shows is not the same in both
            raise
        finally:
            self._is_amid = False
        was_over = other.is_over
        got = getattr(other, name)(*args, **named)
        told, expects = _told(got), _told(expected)
        if told != expects:  # not `insist`: the words take longer than all the rest
            raise Violation(f"{name}: {told}, not {expects}")
        there, here = _facts(other), _facts(self)
        if there != here:
            differ = (pair for pair in zip(_FACTS, there, here, strict=True) if pair[1] != pair[2])
            fact, that, this = next(differ)
            raise Violation(f"{fact} after {name}: {that}, not {this}")
        if other.held is not None or self.held is not None:
            insist(_told(other.held) == _told(self.held), f"held after {name}")
        is_express = type(other) is ExpressDialog
        if other.is_over and not was_over:
            lanes["all the way" if is_express else "handed over"] += 1
            self._play_again()
        if was_over:
            return expected
        if not is_express or (other.is_over and self.delivery._keep_open):  # type: ignore[attr-defined]
            # Before, it has not changed; and nobody asks where no email follows.
            insist(_known(other.session) == _known(self.session), f"the session after {name}")
        return expected

    def _play_again(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.play(self._again, self.cut_every)

    def _again(self, delivery: Delivery) -> "Twin":
        return Twin(delivery, redact=self._hide)

    def _learn(self, other: Dialog) -> None:
        """Let the other one know what is learned outside, as by other connections."""
        other.has_unread = self.has_unread
        if type(other) is ExpressDialog:
            other.session.ehlo_name = self.session.ehlo_name
        for flag in FLAGS:
            setattr(other.session.quirks, flag, getattr(self.session.quirks, flag))


def _event(name: str) -> Callable[..., Any]:
    def happens(self: Twin, *args: Any, **named: Any) -> Any:
        return self._happens(name, *args, **named)

    return happens


for _name in _EVENTS:
    setattr(Twin, _name, _event(_name))


def _express(delivery: Delivery, redact: Callable[[str], str] | None) -> ExpressDialog | None:
    """Return the express dialog for the same delivery, with a session of its own."""
    session = copy.copy(delivery.session)
    session.quirks = copy.copy(session.quirks)
    envelope, content, keep_open = delivery._envelope, delivery._content, delivery._keep_open
    made = dialog_for(session, envelope, content, keep_open, None, redact)
    return made if isinstance(made, ExpressDialog) else None


def _told(value: object) -> object:
    """Return what is asked for, in a form that can be compared."""
    match value:
        case list():
            return [_told(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
        case SendMailData():
            return value.rendition, value.head, value.is_chunk, value.is_speculative, value.is_out
        case CommandGroup():
            return value.octets, value.is_held
        case _:
            return value


def _known(session: Session) -> list[object]:
    return [getattr(session, name) for name in _KNOWN]
