"""The delivery of one mail: the script of a session, and the verdict it comes to."""

from collections import deque

from .classification import CLOSING, Meaning, meaning
from .command import DATA, Command, mail, rcpt
from .content import MAX_TEXT_LINE, Content, Rendition
from .envelope import Envelope
from .reply import Reply
from .session import Refused, Session, check, close_session, open_session
from .stage import Stage
from .step import Decide, Group, HangUp, Script, Transfer
from .verdict import Accepted, Failed, FailureKind, RecipientResult

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


class Unsendable(Exception):  # noqa: N818 - says something of the mail, not of our code
    """The mail cannot go to this server as it is. Nothing of it was sent."""


class Delivery:
    """One mail on its way through one session.

    Attributes:
        session: what is known of the session.
        warnings: what was odd but did not matter.
    """

    def __init__(self, session: Session, envelope: Envelope, content: Content) -> None:
        self.session = session
        self.warnings: list[str] = []
        self._envelope = envelope
        self._content = content
        self._replies: list[Reply | None] = [None for _ in envelope.forward_paths]
        self._owed_group: deque[Command] = deque()  # of a group: not answered yet

    @property
    def max_replies(self) -> int:
        """Characters that all replies of this session may have together, up to the dot."""
        return MAX_REPLIES + MAX_REPLIES_EACH * len(self._replies)

    def warn(self, warning: str) -> None:
        """Note what is odd but does not matter; once is enough."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    def script(self) -> Script:
        """Converse from the greeting to QUIT, and decide on the way."""
        try:
            yield from open_session(self.session)
            yield from self._transact()
        except Refused as refused:
            yield Decide(self._refused(refused))
            if not refused.ends_session:
                yield from self._settle()
            return
        except Unsendable as unsendable:
            yield Decide(self.failed(FailureKind.LOCAL, Stage.MAIL, str(unsendable)))
        yield from close_session()

    def _transact(self) -> Script:
        extensions = self.session.extensions
        rendition = self._content.render(eight_bit=extensions.eight_bit_mime)
        first = self._mail(rendition)
        recipients = [rcpt(path) for path in self._envelope.forward_paths]
        if extensions.pipelining:
            group = (first, *recipients, DATA)
            yield Group(group)
            self._owed_group.extend(group)
        self._check_group(Stage.MAIL, (yield first))
        for index, command in enumerate(recipients):
            self._take_rcpt(index, (yield command))
        self._require_a_recipient()
        self._check_group(Stage.DATA, (yield DATA))
        reply = yield Transfer(rendition)
        check(Stage.DOT, reply)
        if reply.contradicts_itself:
            self.warn(
                f"{self.session.server} took the mail with a reply whose text says otherwise"
                f" (the code counts, RFC 2034 §4): {_one_line(str(reply))}"
            )
        yield Decide(
            Accepted(
                reply=reply,
                recipients=self._results(None, accepted=True),
                warnings=tuple(self.warnings),
            )
        )

    def _check_group(self, stage: Stage, reply: Reply) -> None:
        if self._owed_group:
            self._owed_group.popleft()
        check(stage, reply)

    def _take_rcpt(self, index: int, reply: Reply) -> None:
        if self._owed_group:
            self._owed_group.popleft()
        self._replies[index] = reply
        if reply.code == CLOSING or meaning(Stage.RCPT, reply.code) is Meaning.NONSENSE:
            check(Stage.RCPT, reply)

    def _require_a_recipient(self) -> None:
        """Go on with whom the server took; if it took nobody, the mail is refused.

        Raises:
            Refused: with a reply that may change later, if there is one.
        """
        refusals = [reply for reply in self._replies if reply and not reply.is_positive]
        if len(refusals) < len(self._replies):
            return
        passing = (r for r in refusals if meaning(Stage.RCPT, r.code) is Meaning.TRANSIENT)
        check(Stage.RCPT, next(passing, refusals[-1]))

    def _settle(self) -> Script:
        """Take the replies still owed after the mail was refused (RFC 2920 §3.1), and leave."""
        for command in self._owed_group:
            reply = yield command
            if reply.code == CLOSING:
                return
            if command is DATA and reply.is_intermediate:
                # The server wants mail data for nobody. RFC 2920 would end it with a lone dot, to
                # go on with the session. But a server that is broken in this way may take the
                # lone dot for a mail, an empty one, and we have said that it took none. This
                # session has nothing more to do, and without the dot nothing can be taken.
                yield HangUp()  # and never come back
        yield from close_session()

    def _mail(self, rendition: Rendition) -> Command:
        """Build MAIL for what the server offers.

        Raises:
            Unsendable: the server cannot take this mail.
        """
        server, extensions, envelope = (
            self.session.server,
            self.session.extensions,
            self._envelope,
        )
        parameters: list[str] = []
        if envelope.needs_smtputf8 or self._content.needs_smtputf8:
            if not extensions.smtputf8:
                raise Unsendable(
                    f"{server} takes no addresses beyond ASCII (no SMTPUTF8); use ASCII addresses"
                )
            parameters.append("SMTPUTF8")  # RFC 6531 §3.4
        facts = rendition.facts
        if facts is None:
            # A stream that can be read only once: declare the most that it may need.
            if extensions.eight_bit_mime:
                parameters.append("BODY=8BITMIME")
            return mail(envelope.reverse_path, *parameters)
        if facts.nul:
            raise Unsendable("the mail has a NUL octet, which no server may take; encode the part")
        if facts.longest_line > MAX_TEXT_LINE:
            raise Unsendable(
                f"the mail has a line of {facts.longest_line} octets, over {MAX_TEXT_LINE};"
                " encode the part as quoted-printable or base64"
            )
        if facts.eight_bit:
            if not extensions.eight_bit_mime:
                raise Unsendable(
                    f"{server} takes no 8-bit mail (no 8BITMIME);"
                    " encode the parts as quoted-printable or base64"
                )
            parameters.append("BODY=8BITMIME")  # RFC 6152 §2
        if extensions.offers_size:
            limit = extensions.size_limit
            if limit is not None and facts.size > limit:
                raise Unsendable(
                    f"{server} takes mails of up to {limit} octets; this one has {facts.size}"
                )
            parameters.append(f"SIZE={facts.size}")  # RFC 1870 §5
        return mail(envelope.reverse_path, *parameters)

    def _refused(self, refused: Refused) -> Failed:
        kind, retryable, maybe_accepted = refused.cause.failure
        reply, stage, server = refused.reply, refused.stage, self.session.server
        paths = self._envelope.forward_paths  # at least one
        if kind is FailureKind.PROTOCOL:
            detail = f"{server} broke the protocol at {stage}: it answered {reply}"
        elif stage is Stage.RCPT and reply.code != CLOSING:
            if len(paths) > 1:
                detail = f"{server} refused all {len(paths)} recipients, one with: {reply}"
            else:
                detail = f"{server} refused the recipient {next(iter(paths))}: {reply}"
        elif stage is Stage.GREETING:
            detail = f"{server} takes no mail: {reply}"
        else:
            detail = f"{server} refused the mail at {stage}: {reply}"
        return Failed(
            kind=kind,
            stage=stage,
            detail=_detail(detail, maybe_accepted=maybe_accepted),
            retryable=retryable,
            maybe_accepted=maybe_accepted,
            reply=reply,
            recipients=self._results(None if maybe_accepted else reply, accepted=False),
            warnings=tuple(self.warnings),
        )

    def refused_uncalled(self, stage: Stage, reply: Reply) -> Failed:
        """Judge a refusal that came without being owed: in the mail data, or 421 anywhere."""
        return self._refused(Refused(stage, reply, meaning(stage, reply.code)))

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
    ) -> Failed:
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
        if retryable is None:
            retryable = kind in _PASSING
        return Failed(
            kind=kind,
            stage=stage,
            detail=_detail(detail, maybe_accepted=maybe_accepted),
            # Another attempt at a mail that may be there already can make a duplicate.
            retryable=retryable and not maybe_accepted,
            maybe_accepted=maybe_accepted,
            operation=operation,
            errno=errno,
            recipients=self._results(None, accepted=False),
            warnings=tuple(self.warnings),
        )

    def _results(self, reply: Reply | None, *, accepted: bool) -> tuple[RecipientResult, ...]:
        """Tell each recipient's result: a refusal of its own, or else the mail's."""
        results: list[RecipientResult] = []
        for path, own in zip(self._envelope.forward_paths, self._replies, strict=True):
            taken = own is not None and own.is_positive
            results.append(
                RecipientResult(
                    address=path,
                    accepted=accepted and taken,
                    reply=own if own is not None and (accepted or not taken) else reply,
                )
            )
        return tuple(results)


def _detail(text: str, *, maybe_accepted: bool) -> str:
    line = _one_line(text)
    return f"{line}; the mail may have been accepted" if maybe_accepted else line


def _one_line(text: str) -> str:
    """Fit a text of any origin into one line that people can read."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= MAX_DETAIL else f"{text[: MAX_DETAIL - 3]}..."
