"""`OutboxRef`: emails are made into text where they are told, not on the loop thread."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

from pykka import Future

from ...signals.outcome import Outcome
from ...signals.send_mail import SendMail
from ..mailer.drains import Drain
from ..mailer.feeding import AT_MOST
from ..mailer.jobs.statistics import Statistics
from ..mailer.mailer import MailerRef
from .messages import Cancel, Find, Hold, OutboxStatistics, Put, Receipt, Release, Retry
from .store.records import StoredMail
from .text.mail_text import to_text


def _made(message: Any) -> Any:
    return to_text(message) if isinstance(message, SendMail) else message


class OutboxRef(MailerRef):
    """An `ActorRef` whose `ask` is typed.

    The answer to a `Put` is its `Receipt`, to a `SendMail` its outcome, perhaps hours later.
    """

    def tell(self, message: Any) -> None:
        """Tell it an email, or anything else. See `pykka.ActorRef.tell`.

        Raises:
            TypeError: the email's context is not JSON, or its signals have no name.
            ValueError: the email is empty, or its path no regular file's.
            OSError: the file of the email cannot be read.
        """
        super().tell(_made(message))

    def tell_all(self, mails: Iterable[SendMail], *, at_most: int = AT_MOST) -> int:
        """Tell any number of emails, no faster than they get into the file.

        Args:
            mails: the emails, from any iterable.
            at_most: how many may be on their way into the file at a time.

        Returns:
            How many there were.

        Raises:
            ActorDeadError: the Outbox has stopped.
            OutboxError: the file cannot be written. Those before are in it.
            TypeError: one is no `SendMail`.
        """
        count = 0
        waiting: list[Future[Receipt]] = []
        for mail in mails:
            waiting.append(self.ask(Put(mail), block=False))
            count += 1
            if len(waiting) >= at_most:
                for one in waiting:
                    one.get()
                waiting.clear()
        for one in waiting:
            one.get()
        return count

    if TYPE_CHECKING:
        # Overloads match in order, so the specific ones come first.
        @overload  # type: ignore[override]
        def ask(
            self, message: SendMail, *, block: Literal[False], timeout: float | None = None
        ) -> Future[Outcome]: ...
        @overload
        def ask(
            self, message: SendMail, *, block: Literal[True] = True, timeout: float | None = None
        ) -> Outcome: ...
        @overload
        def ask(
            self, message: Put, *, block: Literal[False], timeout: float | None = None
        ) -> Future[Receipt]: ...
        @overload
        def ask(
            self, message: Put, *, block: Literal[True] = True, timeout: float | None = None
        ) -> Receipt: ...
        @overload
        def ask(
            self, message: Find, *, block: Literal[False], timeout: float | None = None
        ) -> Future[list[StoredMail]]: ...
        @overload
        def ask(
            self, message: Find, *, block: Literal[True] = True, timeout: float | None = None
        ) -> list[StoredMail]: ...
        @overload
        def ask(
            self, message: Statistics, *, block: Literal[False], timeout: float | None = None
        ) -> Future[OutboxStatistics]: ...
        @overload
        def ask(
            self, message: Statistics, *, block: Literal[True] = True, timeout: float | None = None
        ) -> OutboxStatistics: ...
        @overload
        def ask(
            self,
            message: Cancel | Hold | Release | Retry | Drain,
            *,
            block: Literal[False],
            timeout: float | None = None,
        ) -> Future[bool]: ...
        @overload
        def ask(
            self,
            message: Cancel | Hold | Release | Retry | Drain,
            *,
            block: Literal[True] = True,
            timeout: float | None = None,
        ) -> bool: ...
        @overload
        def ask(
            self, message: Any, *, block: Literal[False], timeout: float | None = None
        ) -> Future[Any]: ...
        @overload
        def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...
        def ask(  # pyright: ignore[reportIncompatibleMethodOverride]
            self, message: Any, *, block: bool = True, timeout: float | None = None
        ) -> Any:
            """Send an actor message and return its answer. See `pykka.ActorRef.ask`."""
            ...

    else:

        def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
            """Send an actor message and return its answer. See `pykka.ActorRef.ask`."""
            return super().ask(_made(message), block=block, timeout=timeout)
