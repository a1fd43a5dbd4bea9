"""The express lane: what a `Dialog` says of an email with which all goes as it usually does.

Most sessions are alike but for addresses and texts. An `ExpressDialog` says what a `Dialog` would
say in them, without a script. It judges nothing: at the first unexpected octet or event it makes a
`Dialog`, repeats all events to it, drops the actions, which are performed already, and becomes it.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from ..mail.content import Content, Rendition
from ..mail.delivery_options import NO_OPTIONS
from ..mail.envelope import Envelope
from ..words.command import QUIT, ehlo
from ..words.extensions import Extensions
from ..words.quirks import Quirks
from ..words.reply import Reply
from ..words.reply_parser import MAX_CACHED, MAX_LINE, read_whole
from ..words.stage import Stage
from ..words.verdict import Accepted, FailureKind, Verdict, accepted_for
from .dialog.dialog import Dialog
from .dialog.transcript import Trace
from .opening.session import Session, TlsPolicy
from .step import Action, Close, CommandGroup, Release, SendMailData
from .transaction.delivery import Delivery
from .transaction.parameters import prepare_plain
from .transaction.recipients import DEFAULT_RCPT_MAX
from .transaction.speculation import MAX_SPECULATIVE_SIZE

_Redact: TypeAlias = Callable[[str], str]

_CLOSE, _RELEASE = Close(), Release()
# To look up a member of an enumeration costs more than a function call, until Python 3.12.
_MAIL, _BODY, _DOT = Stage.MAIL, Stage.BODY, Stage.DOT
# Replies of one line in printable ASCII; a final one has no enhanced status code that contradicts.
_GREETING, _FAREWELL = re.compile(rb"220 [ -~]*\r\n"), re.compile(rb"221 [ -~]*\r\n")
_FINAL, _READY = rb"250 (?![45]\.)([ -~]*)\r\n", rb"354 [ -~]*\r\n"
_FINAL_REPLY, _SOME = re.compile(_FINAL), re.compile(rb"(?:250 [ -~]*\r\n)+")


@functools.lru_cache(maxsize=64)
def _replies(count: int, last: bytes) -> re.Pattern[bytes]:
    """Return the pattern of the replies to MAIL, to `count` RCPTs, and to what follows."""
    return re.compile(rb"250 [ -~]*\r\n" + rb"250 ([ -~]*)\r\n" * count + last)


@functools.lru_cache(maxsize=64)  # most servers say the same of each recipient
def _reply(text: bytes) -> Reply:
    return Reply(250, (text.decode(),))


def dialog_for(
    session: Session,
    envelope: Envelope,
    content: Content,
    keep_open: bool,
    trace: Trace | None,
    redact: _Redact | None,
) -> Dialog:
    """Return the dialog of a `Delivery`: an `ExpressDialog` if it may be enough."""
    if (
        trace is None
        and envelope.options is NO_OPTIONS
        and not (session.is_lmtp or session.needs_reset)
        and (
            (redact is None or not (session.redactor is None or session.warnings))
            if session.is_open
            else (session.use_ehlo and session.authentication is None and redact is None)
        )
    ):
        return ExpressDialog(session, envelope, content, keep_open, redact)
    return Dialog(Delivery(session, envelope, content, keep_open=keep_open), trace, redact)


class ExpressDialog(Dialog):
    """Says what a `Dialog` would say, and becomes one if something is unexpected.

    It changes the session only at the end, so that everything can be repeated.
    """

    session: Session
    held: SendMailData | CommandGroup | None
    verdict: Verdict | None
    is_over: bool
    _take: "Callable[[ExpressDialog, bytes], list[Action] | None] | None" = None
    _past: "tuple[bytes | Callable[[Dialog], object], ...]" = ()  # all events
    _texts: tuple[bytes, ...] = ()  # of the replies to RCPT
    _rendition: Rendition
    _pattern: re.Pattern[bytes]  # of the replies to the group
    _heard = b""
    _owed = _count = _steps_before = 0
    _chunk = b""

    def __init__(  # not Dialog's, which begins a script
        self,
        session: Session,
        envelope: Envelope,
        content: Content,
        keep_open: bool,
        redact: _Redact | None,
    ) -> None:
        self.session, self._extensions = session, session.extensions
        self._envelope, self._content = envelope, content
        self._keep_open, self._hide = keep_open, redact
        # Read often, and faster on the instance than on the class.
        self.is_over = self.has_unread = False
        self.held = self._sending = None

    @property
    def delivery(self) -> Delivery:
        """See `Dialog`."""
        return Delivery(self.session, self._envelope, self._content, keep_open=self._keep_open)

    @property
    def stage(self) -> Stage:
        """See `Dialog`."""
        return self._stage

    @property
    def may_end_mail_data(self) -> bool:
        """See `Dialog`."""
        is_wanted = self._sending is not None or self.held is not None
        return is_wanted and not (self.is_over or self.has_unread)

    def connected(self) -> list[Action]:
        """See `Dialog`."""
        if not self.is_over:
            self._stage, self._take = Stage.GREETING, ExpressDialog._take_greeting
            self._past = (Dialog.connected,)
        return []

    def start_next(self) -> list[Action]:
        """See `Dialog`."""
        if self.is_over:
            return []
        self._stage = _MAIL
        actions = self._begin_transaction()
        if actions is None:
            return self._hand_over().start_next()
        self._past = (Dialog.start_next,)
        return actions

    def receive_data(self, data: bytes) -> list[Action]:
        """See `Dialog`."""
        if self.is_over or not (data or self.has_unread):
            return []
        take, actions = self._take, None
        if not (take is None or self.has_unread or len(data) >= MAX_LINE) and (
            self._hide is None or not self._is_secret(data)
        ):
            actions = take(self, data)
        if actions is None:
            return self._hand_over().receive_data(data)
        self._past += (data,)
        return actions

    def begin_held(self) -> None:
        """See `Dialog`."""
        held, self.held = self.held, None
        self._past += (Dialog.begin_held,)
        if isinstance(held, SendMailData):
            self._sending, self._stage = held, _BODY
        else:
            self._stage, self._take = _MAIL, ExpressDialog._take_group

    def mail_data_sent(self) -> None:
        """See `Dialog`."""
        transfer = self._sending
        if self.has_unread or transfer is None:
            self._hand_over().mail_data_sent()
            return
        self._sending = None
        transfer.is_out = True
        self._steps += 1
        self._past += (Dialog.mail_data_sent,)
        if transfer.is_speculative:
            self._steps_before = self._steps
            self._stage, self._take = _MAIL, ExpressDialog._take_group
        else:
            self._stage, self._take = _DOT, ExpressDialog._take_final_reply

    def tls_is_up(self, *, verified: bool, binding: bytes | None = None) -> None:
        """See `Dialog`."""
        self._hand_over().tls_is_up(verified=verified, binding=binding)

    def fail(
        self,
        kind: FailureKind,
        detail: str,
        *,
        operation: str | None = None,
        errno: int | None = None,
        retryable: bool | None = None,
        stage: Stage | None = None,
        in_doubt: bool | None = None,
    ) -> list[Action]:
        """See `Dialog`. All other events come here."""
        if self.is_over:
            return []
        return self._hand_over().fail(
            kind,
            detail,
            operation=operation,
            errno=errno,
            retryable=retryable,
            stage=stage,
            in_doubt=in_doubt,
        )

    def _hand_over(self) -> Dialog:
        """Become the dialog that has had the same events."""
        # With a copy of the session: after an error in here this is called again.
        session = replace(self.session, quirks=Quirks())  # none, up to here
        delivery = Delivery(session, self._envelope, self._content, keep_open=self._keep_open)
        real = Dialog(delivery, redact=self._hide)
        for event in self._past:
            if isinstance(event, bytes):
                real.receive_data(event)
            else:
                event(real)
        session.quirks, real.has_unread = self.session.quirks, self.has_unread
        self.__dict__ = real.__dict__
        self.__class__ = Dialog  # type: ignore[assignment]
        return self

    def _is_secret(self, data: bytes) -> bool:
        """Whether the replies would be redacted."""
        if not data.isascii():  # unexpected in any case
            return False
        redactor, text = self.session.redactor, data.decode()
        return redactor is None or redactor(text) != text

    # Each of these returns None if the input is unexpected.

    def _take_greeting(self, data: bytes) -> list[Action] | None:
        if not _GREETING.fullmatch(data):
            return None
        self._steps += 2
        self._stage, self._take = Stage.EHLO, ExpressDialog._take_extensions
        return [ehlo(self.session.ehlo_name).wire]

    def _take_extensions(self, data: bytes) -> list[Action] | None:
        replies = read_whole(data) if len(data) <= MAX_CACHED else None
        if replies is None or len(replies) != 1 or replies[0].code != 250:
            return None
        policy, session = self.session.tls_policy, self.session
        self._extensions = extensions = Extensions.from_reply(replies[0], session.unused)
        if policy is TlsPolicy.REQUIRED or (
            policy is not TlsPolicy.OFF and "STARTTLS" in extensions
        ):
            return None
        self._steps += 1
        return self._begin_transaction()

    def _begin_transaction(self) -> list[Action] | None:
        extensions, count = self._extensions, len(self._envelope.forward_paths)
        quirks = self.session.quirks
        if quirks.sends_unsolicited or quirks.rejects_bdat or quirks.closes_without_reply:
            return None
        if not (extensions.pipelining and extensions.rcpt_max is extensions.mail_max is None):
            return None
        plain = prepare_plain(extensions, self._envelope, self._content)
        if plain is None or count > DEFAULT_RCPT_MAX:
            return None
        self._rendition, group, size = plain
        self._steps += 1
        self._steps_before, self._count = self._steps, count
        if not extensions.chunking:
            self._owed, self._pattern = count + 2, _replies(count, _READY)
            self._stage, self._take = _MAIL, ExpressDialog._take_group
            return [b"%bDATA\r\n" % group]
        self._take = None
        self._chunk = b"BDAT %d LAST\r\n" % size
        if self._keep_open and size <= MAX_SPECULATIVE_SIZE:
            self._owed, self._pattern = count + 2, _replies(count, _FINAL)
            self.held = SendMailData(self._rendition, wire=group + self._chunk, is_speculative=True)
        else:
            self._owed, self._pattern = count + 1, _replies(count, b"")
            self.held = CommandGroup((), is_held=True, wire=group)
        return [self.held]

    def _take_group(self, data: bytes) -> list[Action] | None:
        self._heard = heard = self._heard + data
        match = self._pattern.fullmatch(heard)
        if match is None:
            return self._take_part(heard) if _SOME.fullmatch(data) else None
        self._texts = match.groups()
        self._steps = self._steps_before + self._owed
        if match.lastindex != self._count:  # the final reply is there, too
            return self._accept(self._texts[-1])
        chunk = self._chunk if self._extensions.chunking else b""
        self._sending = SendMailData(self._rendition, wire=chunk)
        self._steps += 1
        self._stage, self._take = _BODY, None
        return [self._sending]

    def _take_part(self, heard: bytes) -> list[Action] | None:
        """Take some of the replies: some servers write each on its own."""
        count = heard.count(b"\n")
        if count >= self._owed:
            return None
        self._steps = self._steps_before + count
        last = _DOT if self._extensions.chunking else Stage.DATA
        self._stage = last if count > self._count else Stage.RCPT
        return []

    def _take_final_reply(self, data: bytes) -> list[Action] | None:
        match = _FINAL_REPLY.fullmatch(data)
        if match is None:
            return None
        self._steps += 1
        return self._accept(match[1])

    def _accept(self, final: bytes) -> list[Action] | None:
        session, keep_open = self.session, self._keep_open
        if keep_open and session.quirks.sends_unsolicited and self._extensions.chunking:
            return None
        # There may be one text more: the final reply's.
        results = map(accepted_for, self._envelope.forward_paths, map(_reply, self._texts))
        warnings = session.warnings
        if session.is_open:
            warnings = warnings[: session.session_warnings]
        self.verdict = verdict = Accepted(
            reply=Reply(250, (final.decode(),)), recipients=tuple(results), warnings=warnings
        )
        self._steps += 2
        if not keep_open:
            self._stage, self._take = Stage.QUIT, ExpressDialog._take_farewell
            return [verdict, QUIT.wire]
        self.is_over, self._stage, self._take = True, _DOT, None
        session.warnings = warnings
        session.session_warnings = len(warnings) if warnings else 0
        session.extensions, session.is_open = self._extensions, True
        session.earlier = session.first = ""
        session.transactions += 1
        return [verdict, _RELEASE]

    def _take_farewell(self, data: bytes) -> list[Action] | None:
        if not _FAREWELL.fullmatch(data):
            return None
        self.is_over, self._take = True, None
        self._steps += 1
        return [_CLOSE]
