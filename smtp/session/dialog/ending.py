"""How a dialog ends: with a verdict, and then for whatever reason.

A reply to an outstanding command ends it by the script; all other reasons are here.
"""

from ...sasl.secret import SessionRedactor
from ...words.reply import Reply
from ...words.stage import Stage, activity
from ...words.verdict import FailureKind, Verdict
from ..step import Action, Close, CommandGroup, RunCallable, Script, SendMailData, StartTls, Step
from .policy import SessionPolicy
from .redaction import redacted_verdict


class Ending:
    """The part of a `Dialog` that ends it."""

    _delivery: SessionPolicy
    _script: Script
    _redact: SessionRedactor | None

    # At first, once for all dialogs: most carry one mail.
    verdict: Verdict | None = None
    is_over: bool = False
    _held: SendMailData | CommandGroup | None = None
    _next_step: Step | None = None  # to be done as soon as nothing more is here to read
    _sending: SendMailData | None = None
    _waiting: StartTls | RunCallable | None = None  # for the connection
    _data_sent = False

    @property
    def stage(self) -> Stage:
        """Where the session stands."""
        raise NotImplementedError

    @property
    def _is_more_here(self) -> bool:
        """Whether octets have come that are no complete reply yet."""
        raise NotImplementedError

    def receive_eof(self) -> list[Action]:
        """End, as the server closed the connection."""
        return self.connection_lost("read", None, "the server closed the connection")

    def connection_lost(self, operation: str, errno: int | None, reason: str) -> list[Action]:
        """End, as the connection is gone.

        Args:
            operation: what failed: ``"read"`` or ``"write"``.
            errno: its error number, or None for a clean end.
            reason: a few words, as the system gives them.
        """
        return self.fail(
            FailureKind.CONNECTION,
            f"lost the connection {self._activity}: {reason}",
            operation=operation,
            errno=errno,
        )

    def timed_out(self, seconds: float, *, whole: bool = False, hint: str = "") -> list[Action]:
        """End, as the server was too slow.

        Args:
            seconds: how long it had.
            whole: whether it is the whole send that took too long, not this step.
            hint: what may be the reason, or may help; follows the detail.
        """
        if isinstance(self._waiting, RunCallable):
            detail = f"no token for {self._server}: the token callable took over {seconds:g} s"
        else:
            what = "exceeded the deadline of" if whole else "timed out after"
            detail = f"{what} {seconds:g} s {self._activity}{hint}"
        return self.fail(FailureKind.TIMEOUT, detail)

    def cancel(self) -> list[Action]:
        """End, as the email is not to be sent any more."""
        return self.fail(
            FailureKind.CANCELLED,
            f"stopped at {self.stage}, before {self._server} had decided",
        )

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
        """End the session for a reason that no reply gives.

        A mail that was decided stays decided: then this only closes the connection.

        Args:
            kind: why.
            detail: one line for people.
            operation: the system operation that failed.
            errno: its error number.
            retryable: overrides what follows from the kind.
            stage: where it failed. Default: where the session stands.
        """
        if self.is_over:
            return []
        actions: list[Action] = []
        if self.verdict is None:
            in_doubt = self._data_sent
            if self._held is not None and (kind is FailureKind.PROTOCOL or self._is_more_here):
                # Nothing has gone out since the verdict before: so this came behind that one, and
                # which of the two was it? See `ExpectNoMoreInput`.
                in_doubt = self._delivery.doubt_last()
            failed = self._delivery.failed(
                kind,
                stage or self.stage,
                detail,
                maybe_accepted=in_doubt,
                operation=operation,
                errno=errno,
                retryable=retryable,
            )
            self._decide(failed, actions)
        self._end(actions, reset=True)
        return actions

    @property
    def _server(self) -> str:
        return self._delivery.session.server

    @property
    def _activity(self) -> str:
        return activity(self.stage, self._server)

    def _decide(self, verdict: Verdict, actions: list[Action]) -> None:
        self._next_step = None
        if self._redact is not None:
            verdict = redacted_verdict(verdict, self._redact)
        self.verdict = verdict
        actions.append(verdict)

    def _close_early(self, reply: Reply, actions: list[Action]) -> None:
        """End the session on an unsolicited reply that may end it."""
        if self.verdict is None:
            self._decide(self._delivery.rejected_unsolicited(self.stage, reply), actions)
        if not self.is_over:
            self._end(actions, reset=True)

    def _broke_protocol(self, what: str, actions: list[Action]) -> None:
        actions += self.fail(
            FailureKind.PROTOCOL, f"{self._server} broke the protocol at {self.stage}: {what}"
        )

    def _fail_on_injection(self, actions: list[Action]) -> None:
        """End it: octets came in clear after the server's word that TLS begins.

        RFC 3207 §6: they would count as the first replies under TLS, whoever sent them.
        """
        self._delivery.session.injection_suspected = True
        actions += self.fail(
            FailureKind.SECURITY,
            f"{self._server} sent plaintext after it had accepted STARTTLS:"
            " possible response injection (RFC 3207 §6)",
        )

    def _end(self, actions: list[Action], *, reset: bool = False) -> None:
        self.is_over = True
        self._next_step = None
        self._script.close()
        # What is not out yet of a mail must not go out either.
        actions.append(Close(reset=reset or self._sending is not None))
