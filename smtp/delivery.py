"""The delivery of one mail: the script of a session, and the verdict it comes to."""

from collections import deque
from collections.abc import Sequence

from .classification import CLOSING, Meaning, meaning
from .command import DATA, END_OF_DATA, Command, bdat, mail, rcpt
from .content import Content, Rendition
from .envelope import Envelope
from .parameters import check_mail, mail_parameters
from .recipients import Recipient, decisive_refusal
from .refusal import Garbled, Insecure, Refused, Unsendable, check
from .reply import Reply
from .session import Session, close_session, open_session
from .stage import Stage
from .step import Decide, Group, HangUp, Quiet, Script, Transfer
from .verdict import Accepted, Failed, FailureKind, Verdict

MAX_REPLIES = 1_048_576
"""Characters in all replies of a session, and `MAX_REPLIES_EACH` more for each recipient."""
MAX_REPLIES_EACH = 512
"""The length of a reply line in RFC 5321 §4.5.3.1.5."""
MAX_DETAIL = 500
"""Characters of a verdict's detail: a server's reply may have more than a line can show."""

# What a later attempt could change. The others need a change to the mail, or to the options.
_PASSING = frozenset(
    {
        FailureKind.CONNECT,
        FailureKind.CONNECTION,
        FailureKind.TIMEOUT,
        FailureKind.PROTOCOL,
        FailureKind.CANCELLED,
    }
)


class Delivery:
    """One mail on its way through one session.

    Attributes:
        session: what is known of the session.
    """

    def __init__(self, session: Session, envelope: Envelope, content: Content) -> None:
        self.session = session
        self._envelope = envelope
        self._content = content
        self._recipients = [Recipient(path) for path in envelope.forward_paths]
        self._decisive: Reply | None = None  # the reply to the mail data
        self._owed_group: deque[Command] = deque()  # of a group: not answered yet

    @property
    def max_replies(self) -> int:
        """Characters that all replies of this session may have together, up to the dot."""
        return MAX_REPLIES + MAX_REPLIES_EACH * len(self._recipients)

    def warn(self, warning: str) -> None:
        """Note what is odd but does not matter; once is enough."""
        if warning not in self.session.warnings:
            self.session.warnings.append(warning)

    def script(self) -> Script:
        """Converse from the greeting to QUIT, and decide on the way."""
        try:
            yield from open_session(self.session)
            yield from self._transact_all()
            yield Decide(self._accepted())
        except Refused as refused:
            yield Decide(self.refused(refused))
            if refused.ends_session:
                return
            yield from self._settle()
        except Unsendable as unsendable:
            yield Decide(self.failed(FailureKind.LOCAL, unsendable.stage, str(unsendable)))
        except Insecure as insecure:
            yield Decide(self.failed(FailureKind.SECURITY, insecure.stage, str(insecure)))
            if insecure.farewell is not None:
                yield insecure.farewell
        except Garbled as garbled:
            yield Decide(self.failed(FailureKind.PROTOCOL, garbled.stage, str(garbled)))
            if garbled.farewell is not None:
                yield garbled.farewell
            return
        yield from close_session()

    def _transact_all(self) -> Script:
        """Transfer the mail, in as many transactions as the server's limit needs (RFC 9422)."""
        most = self.session.extensions.limit("RCPTMAX") or len(self._recipients)
        for start in range(0, len(self._recipients), most):
            batch = self._recipients[start : start + most]
            try:
                yield from self._transact(batch)
            except Refused as refused:
                if refused.ends_session or not self._may_go_on(refused, batch, start + most):
                    raise
                yield from self._settle()

    def _may_go_on(self, refused: Refused, batch: Sequence[Recipient], done: int) -> bool:
        """Whether the refusal of this transaction leaves others to be done."""
        for recipient in batch:
            recipient.final = recipient.final or refused.reply
        return done < len(self._recipients) or any(r.is_accepted for r in self._recipients)

    def _transact(self, batch: Sequence[Recipient]) -> Script:
        """Run one mail transaction (RFC 5321 §3.3)."""
        extensions = self.session.extensions
        chunking = "CHUNKING" in extensions
        rendition = self._content.render(
            eight_bit=extensions.eight_bit_mime,
            binary=chunking and "BINARYMIME" in extensions,
        )
        check_mail(self.session, rendition)
        first = mail(
            self._envelope.reverse_path,
            *mail_parameters(self.session, self._envelope, self._content, rendition),
        )
        commands = [rcpt(recipient.path) for recipient in batch]
        chunked = chunking and rendition.facts is not None
        if extensions.pipelining:
            group = (first, *commands) if chunked else (first, *commands, DATA)
            yield Group(group)
            self._owed_group.extend(group)
        self._check_next(Stage.MAIL, (yield first))
        for recipient, command in zip(batch, commands, strict=True):
            self._hear_rcpt(recipient, (yield command))
        refusal = decisive_refusal(batch)
        if refusal is not None:
            check(Stage.RCPT, refusal)
        if not chunked:
            self._check_next(Stage.DATA, (yield DATA))
        yield from self._transfer(rendition, [r for r in batch if r.is_taken], chunked=chunked)

    def _transfer(
        self, rendition: Rendition, taken: Sequence[Recipient], *, chunked: bool
    ) -> Script:
        """Send the mail data and hear the verdict: in LMTP, one for each recipient."""
        size = 0 if rendition.facts is None else rendition.facts.size
        verdicts = len(taken) if self.session.is_lmtp else 1
        transfer = Transfer(rendition, bdat(size) if chunked else None, (END_OF_DATA,) * verdicts)
        reply = yield transfer
        if self.session.is_lmtp:
            yield from self._hear_verdicts(taken, reply)
            return
        check(Stage.DOT, reply)
        # Octets behind the verdict: which of the two would be the one? Then there is none.
        yield Quiet()
        if reply.contradicts_itself:
            self.warn(
                f"{self.session.server} took the mail with a reply whose text says otherwise"
                f" (the code counts, RFC 2034 §4): {_one_line(str(reply))}"
            )
        self._decisive = reply
        for recipient in taken:
            recipient.final = reply

    def _hear_verdicts(self, taken: Sequence[Recipient], reply: Reply) -> Script:
        """Hear one verdict for each recipient (RFC 2033 §4.2)."""
        for recipient in taken:
            if recipient is not taken[0]:
                reply = yield END_OF_DATA
            if meaning(Stage.DOT, reply.code) is Meaning.DOUBT or reply.code == CLOSING:
                check(Stage.DOT, reply)
            if recipient is taken[-1]:
                yield Quiet()
            recipient.final = reply
            if reply.is_positive:
                self._decisive = reply
        refusal = decisive_refusal(taken)
        if refusal is not None:
            check(Stage.DOT, refusal)

    def _check_next(self, stage: Stage, reply: Reply) -> None:
        if self._owed_group:
            self._owed_group.popleft()
        check(stage, reply)

    def _hear_rcpt(self, recipient: Recipient, reply: Reply) -> None:
        if self._owed_group:
            self._owed_group.popleft()
        if reply.code == CLOSING or meaning(Stage.RCPT, reply.code) is Meaning.NONSENSE:
            check(Stage.RCPT, reply)
        recipient.hear(reply)

    def _settle(self) -> Script:
        """Take the replies still owed to a group after the mail was refused (RFC 2920 §3.1)."""
        while self._owed_group:
            command = self._owed_group.popleft()
            reply = yield command
            if reply.code == CLOSING:
                yield HangUp()  # and never come back
            if command is DATA and reply.is_intermediate:
                # The server wants mail data for nobody. RFC 2920 would end it with a lone dot, to
                # go on with the session. But a server that is broken in this way may take the
                # lone dot for a mail, an empty one, and we have said that it took none. This
                # session has nothing more to do, and without the dot nothing can be taken.
                yield HangUp()

    def humbler(self, failed: Failed) -> "Delivery | None":
        """Return another attempt that asks less of the server, or None if there is none.

        Args:
            failed: what this attempt came to. Nothing of the mail was sent in it.
        """
        session = self.session.humbler(failed.kind, failed.stage)
        return None if session is None else Delivery(session, self._envelope, self._content)

    # Verdicts.

    def _accepted(self) -> Accepted | Failed:
        """Sum up: the server took the mail, for somebody at least."""
        if self._decisive is None:
            refusal = decisive_refusal(self._recipients)
            assert refusal is not None
            return self.refused(Refused(Stage.RCPT, refusal, meaning(Stage.RCPT, refusal.code)))
        return Accepted(
            reply=self._decisive,
            recipients=tuple(
                recipient.result(None, retryable=False, maybe_accepted=False)
                for recipient in self._recipients
            ),
            warnings=tuple(self.session.warnings),
        )

    def refused_uncalled(self, stage: Stage, reply: Reply) -> Verdict:
        """Judge a refusal that came without being owed: in the mail data, or 421 anywhere."""
        return self.refused(Refused(stage, reply, meaning(stage, reply.code)))

    def refused(self, refused: Refused) -> Verdict:
        """Judge a reply that ends the mail's way."""
        kind, retryable, maybe_accepted = refused.cause.failure
        reply, stage = refused.reply, refused.stage
        if kind is FailureKind.SMTP:
            for recipient in self._recipients:
                recipient.final = recipient.final or reply
        return self._failed(
            kind,
            stage,
            self._describe(kind, stage, reply),
            retryable=retryable,
            maybe_accepted=maybe_accepted,
            reply=reply,
        )

    def _describe(self, kind: FailureKind, stage: Stage, reply: Reply) -> str:
        server, paths = self.session.server, self._envelope.forward_paths
        if kind is FailureKind.PROTOCOL:
            return f"{server} broke the protocol at {stage}: it answered {reply}"
        if stage is Stage.RCPT and reply.code != CLOSING:
            if len(paths) > 1:
                return f"{server} refused all {len(paths)} recipients, one with: {reply}"
            return f"{server} refused the recipient {next(iter(paths))}: {reply}"
        if stage is Stage.GREETING:
            return f"{server} takes no mail: {reply}"
        if stage is Stage.AUTH:
            return f"{server} refused the credentials: {reply}"
        return f"{server} refused the mail at {stage}: {reply}"

    def failed(
        self,
        kind: FailureKind,
        stage: Stage,
        detail: str,
        *,
        maybe_accepted: bool = False,
        operation: str | None = None,
        errno: int | None = None,
        retryable: bool | None = None,
    ) -> Verdict:
        """Build the verdict for a failure that no reply announced.

        Args:
            kind: why.
            stage: how far the session had come.
            detail: one line for people.
            maybe_accepted: whether the final dot may have reached the server.
            operation: the system operation that failed.
            errno: its error number.
            retryable: overrides what follows from the kind.
        """
        return self._failed(
            kind,
            stage,
            detail,
            # Another attempt at a mail that may be there already can make a duplicate.
            retryable=(kind in _PASSING if retryable is None else retryable) and not maybe_accepted,
            maybe_accepted=maybe_accepted,
            operation=operation,
            errno=errno,
        )

    def _failed(
        self,
        kind: FailureKind,
        stage: Stage,
        detail: str,
        *,
        retryable: bool,
        maybe_accepted: bool,
        reply: Reply | None = None,
        operation: str | None = None,
        errno: int | None = None,
    ) -> Verdict:
        recipients = tuple(
            recipient.result(
                None if maybe_accepted else reply,
                retryable=retryable,
                maybe_accepted=maybe_accepted,
            )
            for recipient in self._recipients
        )
        detail = _one_line(detail)
        if self._decisive is not None:
            # Some have the mail already: for them, what came later is at most a warning.
            warnings = (*self.session.warnings, detail)
            return Accepted(reply=self._decisive, recipients=recipients, warnings=warnings)
        return Failed(
            kind=kind,
            stage=stage,
            detail=f"{detail}; the mail may have been accepted" if maybe_accepted else detail,
            retryable=retryable,
            maybe_accepted=maybe_accepted,
            reply=reply,
            operation=operation,
            errno=errno,
            recipients=recipients,
            warnings=tuple(self.session.warnings),
        )


def _one_line(text: str) -> str:
    """Fit a text of any origin into one line that people can read."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= MAX_DETAIL else f"{text[: MAX_DETAIL - 3]}..."
