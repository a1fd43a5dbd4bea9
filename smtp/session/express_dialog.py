"""The express lane: what a `Dialog` says of an email with which all goes as it mostly does.

Most sessions are alike, to the octet but for addresses and texts. For these, an `ExpressDialog`
says what a `Dialog` would say, without its script. It judges nothing: whatever else the server
says, or happens, is a `Dialog`'s affair. Then the express dialog makes one, tells it again what has
happened so far, throws away the actions that it returns, as they are done, and becomes this dialog.
"""

from collections.abc import Callable
from dataclasses import replace

from ..mail.content import Content, Rendition
from ..mail.delivery_options import NO_OPTIONS
from ..mail.envelope import Envelope
from ..words.command import QUIT, ehlo
from ..words.extensions import Extensions
from ..words.quirks import Quirks
from ..words.reply import Reply
from ..words.reply_parser import MAX_CACHED, MAX_LINE, read_whole
from ..words.stage import Stage
from ..words.verdict import Accepted, FailureKind, RecipientResult
from .delivery import Delivery
from .dialog import Dialog
from .parameters import prepare_plain
from .recipients import DEFAULT_RCPT_MAX
from .session import Session, TlsPolicy
from .step import Action, Close, CommandGroup, Release, SendMailData
from .transaction import MAX_SPECULATIVE_SIZE
from .transcript import Trace

_CLOSE = Close()
_RELEASE = Release()
_CONTRADICTIONS = frozenset({"4.", "5."})  # an enhanced status code that says no


def dialog_for(
    session: Session,
    envelope: Envelope,
    content: Content,
    *,
    keeps: bool = False,
    trace: Trace | None = None,
    redact: Callable[[str], str] | None = None,
) -> Dialog:
    """Return the dialog of one email, an `ExpressDialog` if the email may go that way.

    Args:
        session: the state of the session. It may be open, with emails before this one.
        envelope: who sends, and to whom.
        content: the email.
        keeps: leave the connection to the next email, where that can be done.
        trace: see `Dialog`.
        redact: see `Dialog`.
    """
    quirks = session.quirks
    if (
        trace is None
        and envelope.options is NO_OPTIONS
        and not (quirks.speaks_unasked or quirks.refuses_chunks or quirks.leaves_unsaid)
        and not (session.is_lmtp or session.needs_reset)
        and (
            # A verdict's warnings are redacted, too.
            (redact is None or (session.redactor is not None and not session.warnings))
            if session.is_open
            else (session.use_ehlo and session.authentication is None and redact is None)
        )
    ):
        return ExpressDialog(session, envelope, content, keeps=keeps, redact=redact)
    return Dialog(Delivery(session, envelope, content, keeps=keeps), trace, redact)


class ExpressDialog(Dialog):
    """Says what a `Dialog` would say, and becomes one as soon as something is unexpected.

    The session is changed at the end only, so that it can all be told again.
    """

    _take: "Callable[[ExpressDialog, bytes], list[Action] | None] | None" = None  # what comes next
    _past: "tuple[bytes | Callable[[Dialog], object], ...]" = ()  # what has happened
    _replies: tuple[str, ...] = ()  # to the group, by lines
    _owed = 0  # replies to the group
    _rendition: Rendition

    def __init__(  # not that of Dialog, which begins a script
        self,
        session: Session,
        envelope: Envelope,
        content: Content,
        *,
        keeps: bool,
        redact: Callable[[str], str] | None,
    ) -> None:
        self._session = session
        self._extensions = session.extensions
        self._envelope = envelope
        self._content = content
        self._keeps = keeps
        self._redactor = redact

    # What a connection asks for.

    @property
    def session(self) -> Session:
        """What is known of the session."""
        return self._session

    @property
    def delivery(self) -> Delivery:
        """What is to be done."""
        return Delivery(self._session, self._envelope, self._content, keeps=self._keeps)

    @property
    def stage(self) -> Stage:
        """Where the session stands."""
        return self._stage

    @property
    def _is_more_here(self) -> bool:
        return self.has_unread

    # What happens.

    def connected(self) -> list[Action]:
        """Begin: the connection stands, and the server owes its greeting."""
        if not self.is_over:
            self._stage, self._take = Stage.GREETING, ExpressDialog._take_greeting
            self._past = (Dialog.connected,)
        return []

    def start_next(self) -> list[Action]:
        """Begin on a connection that another dialog has released: no greeting is due."""
        if self.is_over:
            return []
        self._stage = Stage.MAIL
        actions = self._transact()
        if actions is None:
            return self._hand_over().start_next()
        self._past = (Dialog.start_next,)
        return actions

    def receive_data(self, data: bytes) -> list[Action]:
        """Take octets from the server; none, where `has_unread` has changed."""
        if self.is_over or not (data or self.has_unread):
            return []
        take = self._take
        actions = None if take is None or self.has_unread else take(self, data)
        if actions is None:
            return self._hand_over().receive_data(data)
        self._past += (data,)
        return actions

    def begin_held(self) -> None:
        """Note that what was held goes out now: its commands are outstanding."""
        held, self._held = self._held, None
        self._past += (Dialog.begin_held,)
        if isinstance(held, SendMailData):
            self._sending, self._stage = held, Stage.BODY
        else:
            self._stage, self._take = Stage.MAIL, ExpressDialog._take_group

    def mail_data_sent(self) -> None:
        """Note that all of the mail has gone out: from now on the server may have it."""
        transfer = self._sending
        if self.has_unread or transfer is None:
            self._hand_over().mail_data_sent()
            return
        self._sending = None
        self._steps += 1
        self._past += (Dialog.mail_data_sent,)
        if transfer.is_speculative:
            self._stage, self._take = Stage.MAIL, ExpressDialog._take_group
        else:
            self._stage, self._take = Stage.DOT, ExpressDialog._take_final_reply

    def tls_is_up(self, *, verified: bool, binding: bytes | None = None) -> None:
        """Note that the connection began with TLS (RFC 8314 §3); call `connected` next."""
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
    ) -> list[Action]:
        """End the session for a reason that no reply gives. See `Dialog`."""
        if self.is_over:
            return []
        return self._hand_over().fail(
            kind, detail, operation=operation, errno=errno, retryable=retryable, stage=stage
        )

    def _hand_over(self) -> Dialog:
        """Become the dialog that has seen the same; what it asked for is done."""
        # On a copy: after an error in here, it must be possible once more.
        session = replace(self._session, quirks=Quirks())  # as it was when this one began
        real = Dialog(
            Delivery(session, self._envelope, self._content, keeps=self._keeps),
            redact=self._redactor,
        )
        for event in self._past:
            if isinstance(event, bytes):
                real.receive_data(event)
            else:
                event(real)
        session.quirks = self._session.quirks
        real.has_unread = self.has_unread
        self.__dict__ = real.__dict__
        self.__class__ = Dialog  # type: ignore[assignment]
        return self

    # What it says. Each returns None where the server's words are not those that mostly come.

    def _take_greeting(self, data: bytes) -> list[Action] | None:
        lines = self._lines_of(data)
        if lines is None or len(lines) != 1 or lines[0][:4] != "220 ":
            return None
        self._steps += 2
        self._stage, self._take = Stage.EHLO, ExpressDialog._take_extensions
        return [ehlo(self._session.ehlo_name).wire]

    def _take_extensions(self, data: bytes) -> list[Action] | None:
        replies = read_whole(data) if len(data) <= MAX_CACHED else None
        if replies is None or len(replies) != 1 or replies[0].code != 250:
            return None
        session = self._session
        self._extensions = extensions = Extensions.from_reply(replies[0], session.unused)
        if session.tls_policy is not TlsPolicy.OFF and (
            session.tls_policy is TlsPolicy.REQUIRED or "STARTTLS" in extensions
        ):
            return None
        actions = self._transact()
        self._steps += 1
        return actions

    def _transact(self) -> list[Action] | None:
        """Say how to transfer the mail: all that needs no reply before."""
        extensions, count = self._extensions, len(self._envelope.forward_paths)
        if not (extensions.pipelining and extensions.rcpt_max is extensions.mail_max is None):
            return None
        plain = prepare_plain(extensions, self._envelope, self._content)
        if plain is None or count > DEFAULT_RCPT_MAX:
            return None
        self._rendition, group = plain
        assert self._rendition.facts is not None
        size = self._rendition.facts.size
        self._steps += 1
        self._take = None
        if not extensions.chunking:
            self._owed = count + 2
            self._stage, self._take = Stage.MAIL, ExpressDialog._take_group
            return [f"{group}DATA\r\n".encode()]
        if self._keeps and size <= MAX_SPECULATIVE_SIZE:
            self._owed = count + 2
            wire = f"{group}BDAT {size} LAST\r\n".encode()
            self._held = SendMailData.plain(self._rendition, wire, is_speculative=True)
        else:
            self._owed = count + 1
            self._held = CommandGroup((), is_held=True, wire=group.encode())
        return [self._held]

    def _take_group(self, data: bytes) -> list[Action] | None:
        heard = self._heard + data
        extensions, count = self._extensions, len(self._envelope.forward_paths)
        match = _group_pattern(count, extensions.chunking, self._owed).fullmatch(heard)
        if len(data) >= MAX_LINE or self._is_redacted(data):
            return None
        if match is None:
            return self._take_some(heard) if _SOME.fullmatch(data) else None
        self._heard, self._steps = heard, self._steps_before + self._owed
        if self._owed > count + 1 and extensions.chunking:
            return self._accept(match)
        wire = b""
        if extensions.chunking:
            assert self._rendition.facts is not None
            wire = b"BDAT %d LAST\r\n" % self._rendition.facts.size
        self._answers = match
        self._sending = SendMailData.plain(self._rendition, wire, is_speculative=False)
        self._steps += 1
        self._stage, self._take = Stage.BODY, None
        return [self._sending]

    def _take_final_reply(self, data: bytes) -> list[Action] | None:
        lines = self._lines_of(data)
        if lines is None or len(lines) != 1:
            return None
        self._steps += 1
        return self._accept(lines[0])

    def _accept(self, final: str) -> list[Action] | None:
        """Say that the email was accepted, and go on to the next one, or to QUIT."""
        session, extensions = self._session, self._extensions
        if final[:4] != "250 " or final[4:6] in _CONTRADICTIONS:
            return None
        if self._keeps and extensions.chunking and session.quirks.speaks_unasked:
            return None
        results: list[RecipientResult] = []
        for path, line in zip(self._envelope.forward_paths, self._replies[1:], strict=False):
            reply = Reply(250, (line[4:],))
            results.append(RecipientResult(address=path, accepted=True, reply=reply))
        warnings = session.warnings
        if session.is_open:
            warnings = warnings[: session.session_warnings]
        self.verdict = Accepted(
            reply=Reply(250, (final[4:],)), recipients=tuple(results), warnings=warnings
        )
        self._steps += 2
        if not self._keeps:
            self._stage, self._take = Stage.QUIT, ExpressDialog._take_farewell
            return [self.verdict, QUIT.wire]
        self.is_over, self._stage, self._take = True, Stage.DOT, None
        session.warnings = warnings
        session.session_warnings = len(warnings)
        session.earlier = session.first = ""
        session.extensions, session.is_open = extensions, True
        session.mails += 1
        return [self.verdict, _RELEASE]

    def _take_farewell(self, data: bytes) -> list[Action] | None:
        lines = self._lines_of(data)
        if lines is None or len(lines) != 1 or lines[0][:4] != "221 ":
            return None
        self.is_over, self._take = True, None
        self._steps += 1
        return [_CLOSE]

    def _lines_of(self, data: bytes) -> list[str] | None:
        """Return complete lines that can be shown as they are, or None."""
        if len(data) >= MAX_LINE:
            return None
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return None
        lines = text.split("\r\n")
        if lines.pop() or not "".join(lines).isprintable():
            return None
        if self._redactor is not None:
            redactor = self._session.redactor
            if redactor is None or redactor(text) != text:
                return None
        return lines
