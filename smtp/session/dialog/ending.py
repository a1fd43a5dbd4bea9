"""How a dialog ends, if not by the reply to an outstanding command, which the script handles."""

from ...sasl.secret import SessionRedactor
from ...words.reply import Reply
from ...words.stage import Stage, activity
from ...words.verdict import FailureKind, Verdict
from ..opening.session import Session
from ..step import Action, Close, CommandGroup, RunCallable, Script, SendMailData, StartTls, Step
from .policy import SessionPolicy
from .redaction import redacted_verdict


class Ending:
    """The part of a `Dialog` that ends it."""

    session: Session
    _delivery: SessionPolicy
    _script: Script
    _redact: SessionRedactor | None

    # Initial values are on the class: most dialogs are for one email, and change few of them.
    verdict: Verdict | None = None
    is_over: bool = False
    held: SendMailData | CommandGroup | None = None
    _next_step: Step | None = None  # to be done once no input is pending
    _sending: SendMailData | None = None
    _waiting: StartTls | RunCallable | None = None  # for the connection
    _data_sent = False

    @property
    def stage(self) -> Stage:
        """How far the session has come."""
        raise NotImplementedError

    @property
    def _is_input_pending(self) -> bool:
        """Whether input is pending that is not a complete reply yet."""
        raise NotImplementedError

    def receive_eof(self) -> list[Action]:
        """Called when the server closed the connection."""
        return self.connection_lost("read", None, "the server closed the connection")

    def connection_lost(self, operation: str, errno: int | None, reason: str) -> list[Action]:
        """Called when the connection was lost.

        Args:
            operation: the operation that failed: ``"read"`` or ``"write"``.
            errno: its error number, or None if the server closed in order.
            reason: the text of the error.
        """
        return self.fail(
            FailureKind.CONNECTION,
            f"lost the connection {self._activity}: {reason}",
            operation=operation,
            errno=errno,
        )

    def timed_out(self, seconds: float, *, whole: bool = False, hint: str = "") -> list[Action]:
        """Called when a time limit has expired.

        Args:
            seconds: the limit.
            whole: whether it is the deadline of the attempt, not the timeout of a step.
            hint: a likely reason or remedy, appended to the detail.
        """
        if isinstance(self._waiting, RunCallable):
            detail = f"no token for {self._server}: the token callable took over {seconds:g} s"
        else:
            what = "exceeded the deadline of" if whole else "timed out after"
            detail = f"{what} {seconds:g} s {self._activity}{hint}"
        return self.fail(FailureKind.TIMEOUT, detail)

    def cancel(self) -> list[Action]:
        """Called when the send is cancelled."""
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
        in_doubt: bool | None = None,
    ) -> list[Action]:
        """End the session for a reason other than a reply.

        If there is a verdict already, it stays, and only the connection is closed.

        Args:
            kind: why.
            detail: one line for people.
            operation: the system operation that failed, or None.
            errno: its error number, or None.
            retryable: overrides the default of the kind.
            stage: the stage of the failure. Default: the present one.
            in_doubt: whether the email may have been accepted. Default: if all of it was sent.
        """
        if self.is_over:
            return []
        actions: list[Action] = []
        if self.verdict is None:
            if in_doubt is None:
                in_doubt = self._data_sent
            if self.held is not None and (kind is FailureKind.PROTOCOL or self._is_input_pending):
                # Nothing was sent since the previous transaction's final reply, so this input
                # follows that reply, and either may be the final one: see `ExpectNoMoreInput`.
                in_doubt = self._delivery.discard_last_final_reply()
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
        return self.session.server

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
        """End the session because of an unsolicited 421 or rejection."""
        if self.verdict is None:
            self._decide(self._delivery.rejected_unsolicited(self.stage, reply), actions)
        if not self.is_over:
            self._end(actions, reset=True)

    def _fail_on_violation(self, what: str, actions: list[Action]) -> None:
        actions += self.fail(
            FailureKind.PROTOCOL, f"{self._server} broke the protocol at {self.stage}: {what}"
        )

    def _fail_on_injection(self, actions: list[Action]) -> None:
        """End the session: plaintext followed the reply that accepted STARTTLS.

        An attacker may have sent it, to be taken for the first replies under TLS (RFC 3207 §6).
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
        # Mail data that is not written yet must not be written any more.
        actions.append(Close(reset=reset or self._sending is not None))
