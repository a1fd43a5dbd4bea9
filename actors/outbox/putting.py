"""The taking half of an outbox: from an email to its receipt. On the loop thread."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

from ...signals.bus import publish_stored
from ...signals.send_mail import SendMail
from ...smtp.words.verdict import FailureKind
from ..loop.asyncio_actor import Answer
from .messages import Put, Receipt
from .publishing import Publishing
from .rules.decisions import Facts
from .sending.entry import Entry
from .sending.failures import failure_of
from .sending.shipping import Shipping
from .store.bodies import WrittenBody
from .store.errors import OutboxError
from .store.records import Clash, NewMail, Row
from .store.store import Store
from .text.large import LargeBody
from .text.mail_text import MAX_SIZE, MailText, with_file
from .thread.copying import Copied, Copying
from .thread.ops import Kind
from .thread.store_thread import StoreThread

Submit = Callable[[Kind, Any, Callable[[Any], object]], object]

_COUNT_EVERY = 1.0
"""Seconds between two counts of what is in the file."""


class Putting:
    """Puts emails into the file.

    Args:
        alias: the sender of their signals.
        life: this life; None if it does not publish outcomes.
        thread: the thread of the file.
        submit: has something done with the file.
        shipping: sends them.
        publishing: publishes their outcomes.
        most: how many may wait in the file.
        most_octets: how large the file may be.
        at_least_once: whether a second copy is better than none, if a `Put` does not say.
        copying: copies large bodies into files; None if these must not be.

    Attributes:
        put: how many were put.
        duplicates: how many were there already.
        pending: how many are on their way into the file.
    """

    def __init__(
        self,
        alias: str,
        life: int | None,
        thread: StoreThread,
        submit: Submit,
        shipping: Shipping,
        publishing: Publishing,
        *,
        most: int,
        most_octets: int,
        at_least_once: bool,
        copying: Copying | None,
    ) -> None:
        self.put: int = 0
        self.duplicates: int = 0
        self.pending: int = 0
        self._alias = alias
        self._life = life
        self._thread = thread
        self._submit = submit
        self._shipping = shipping
        self._publishing = publishing
        self._most = most
        self._most_octets = most_octets
        self._at_least_once = at_least_once
        self._copying = copying
        self._in_file = self._octets = 0
        self._counted_at = 0.0
        self._claimed = 0  # on their way, with their claim

    def take(self, text: MailText, put: Put | None, answer: Answer, *, is_pressing: bool) -> None:
        """Put an email.

        Args:
            text: the email.
            put: how; its answer is a `Receipt`. If None, the answer is the outcome, whenever that
                is.
            answer: the answer.
            is_pressing: whether a signal receiver may be waiting for its outcome.
        """
        mail = text.mail
        if self._life is None and (mail.outcome_to is not None or (not put and answer.is_asked)):
            self._answer_deaf(mail, answer)
            return
        large = text.large
        refusal = self._refusal() if large is None else self._refusal_of_large(large.size)
        if refusal is not None:
            self._answer(mail, put, answer, refusal)
            return
        if large is not None:
            self._take_large(large, text, put, answer, is_pressing=is_pressing)
            return
        new = self._new(text, put)
        self.pending += 1
        self._claimed += new.claim
        done = functools.partial(self._done, new, mail, put, answer, is_pressing)
        self._submit(Kind.PUT, new, done)

    # Large ones

    def _take_large(
        self,
        large: LargeBody,
        text: MailText,
        put: Put | None,
        answer: Answer,
        *,
        is_pressing: bool,
    ) -> None:
        """Copy the body into a file of its own, and put the email then."""
        if self._copying is None:
            self._refuse_for_good(
                f"the email has {large.size} octets, and an outbox that is sealed takes no more"
                f" than {MAX_SIZE}",
                text.mail,
                answer,
            )
            return
        self.pending += 1
        self._copying.copy(
            large, functools.partial(self._copied, text, put, answer, is_pressing=is_pressing)
        )

    def _copied(
        self, text: MailText, put: Put | None, answer: Answer, copied: Copied, *, is_pressing: bool
    ) -> None:
        self.pending -= 1
        if isinstance(copied, OutboxError):
            self._answer(text.mail, put, answer, copied)
        elif isinstance(copied, Exception):
            self._refuse_unread(copied, text.mail, answer)
        else:
            written, digest = copied
            file = written.file
            mail = text.mail if file.is_whole else with_file(text.mail, file)
            new = self._new(dataclasses.replace(text, mail=mail, digest=digest), put)
            new.body, new.size = file.text, file.size
            self.pending += 1
            self._claimed += new.claim
            done = functools.partial(self._done, new, mail, put, answer, is_pressing)
            self._submit(Kind.PUT, new, functools.partial(_release, written, done))

    def _refuse_unread(self, error: Exception, mail: SendMail, answer: Answer) -> None:
        if answer.is_asked:
            answer.set_exception((type(error), error, None))
        else:
            self._refuse(mail, answer, f"cannot read the email: {error}", retryable=False)

    @property
    def is_copying(self) -> bool:
        """Whether a large body is on its way into a file."""
        return bool(self._copying)

    def give_up(self) -> None:
        """Answer those whose bodies are still being copied: the outbox stops."""
        if self._copying is not None:
            self._copying.give_up()

    def _done(
        self,
        new: NewMail,
        mail: SendMail,
        put: Put | None,
        answer: Answer,
        is_pressing: bool,
        result: int | Clash | OutboxError,
    ) -> None:
        self.pending -= 1
        self._claimed -= new.claim
        if isinstance(result, int):
            if put is None:
                self._publishing.wait_for(result, mail, answer)
            elif mail.outcome_to is not None:
                self._publishing.wait_for(result, mail, Answer(None, set()))
            self._is_put(result, new, mail, is_pressing=is_pressing)
            if put is not None:
                answer.set(Receipt(mail.id, new.key))
            return
        if isinstance(result, Clash):
            self.duplicates += 1
        self._answer(mail, put, answer, result)

    def _answer(
        self, mail: SendMail, put: Put | None, answer: Answer, result: Clash | OutboxError
    ) -> None:
        """Answer that an email was not put, or was there before."""
        if isinstance(result, OutboxError):
            if put is not None and answer.is_asked:
                answer.set_exception((OutboxError, result, None))
            else:
                self._refuse(mail, answer, str(result), retryable=result.retryable)
        elif put is not None:
            key = put.key or mail.id
            if result.is_same:
                answer.set(Receipt(result.id, key, is_duplicate=True))
            else:
                self._refuse_for_good(
                    f"key {key!r} is that of another email ({result.id})", mail, answer
                )
        elif not result.is_same:
            detail = f"id {mail.id!r} is that of another email in the outbox"
            self._refuse(mail, answer, detail, retryable=False)
        elif answer.is_asked:
            self._ask_for_outcome(result.seq, mail, answer)

    def _answer_deaf(self, mail: SendMail, answer: Answer) -> None:
        """Answer who would wait for an outcome for ever."""
        text = "an Outbox with hear=False hears no outcome: put the email, without outcome_to"
        self._refuse_for_good(text, mail, answer)

    def _ask_for_outcome(self, seq: int, mail: SendMail, answer: Answer) -> None:
        def look(store: Store) -> Row | None:
            return store.get(seq)

        def then(row: Row | OutboxError | None) -> None:
            self._publishing.answer_duplicate(row, mail, answer)

        self._submit(Kind.LOOK, look, then)

    def _new(self, text: MailText, put: Put | None) -> NewMail:
        mail, now = text.mail, time.time()
        new = NewMail(
            id=mail.id,
            key=mail.id,
            alias=self._alias,
            digest=text.digest,
            env=text.env,
            body=text.body,
            priority=0,
            due=now,
            expires=None,
            put_at=now,
            at_least_once=self._at_least_once,
            claim=False,
        )
        if put is not None:
            new.priority = put.priority
            if put.key is not None:
                new.key = put.key
            if put.not_before is not None:
                new.due = put.not_before.timestamp()
            if put.expires is not None:
                new.expires = put.expires.timestamp()
            if put.at_least_once is not None:
                new.at_least_once = put.at_least_once
        new.claim = self._claims(new)
        return new

    def _claims(self, new: NewMail) -> bool:
        """Whether an email is sent at once, without a look at those that wait."""
        shipping = self._shipping
        if shipping.is_over or new.due > new.put_at or new.priority < 0 or shipping.has_backlog:
            return False
        return shipping.room > self._claimed

    def _is_put(self, seq: int, new: NewMail, mail: SendMail, *, is_pressing: bool) -> None:
        self.put += 1
        self._in_file += 1
        self._octets += new.size + 2 * len(new.env)
        if not new.claim:
            self._shipping.note_put(seq, mail, new.size, new.due)
            return
        facts = Facts(
            addresses=mail.all_recipients,
            left=mail.envelope.forward_paths,
            put_at=new.put_at,
            expires=new.expires,
            at_least_once=new.at_least_once,
        )
        self._shipping.take(
            Entry(
                seq,
                mail,
                alias=self._alias,
                facts=facts,
                priority=new.priority,
                home=self._life,
                is_pressing=is_pressing,
            )
        )

    # Limits

    def _refusal(self) -> OutboxError | None:
        # Those on their way, too: a program may put thousands before the first is in the file.
        if (waiting := self._in_file + self.pending) >= self._most:
            return OutboxError(
                f"{waiting} emails wait in the outbox (max_queued); put it again later", True
            )
        if self._octets >= self._most_octets:
            return OutboxError(
                f"the outbox has {self._octets} octets (max_octets); put it again later", True
            )
        if not self._thread.has_room:
            return OutboxError(
                "the disk is almost full, and the outbox leaves the rest to other programs", True
            )
        return None

    def _refusal_of_large(self, size: int) -> OutboxError | None:
        if size > self._most_octets:
            return OutboxError(f"the email has {size} octets, more than the outbox (max_octets)")
        octets = self._octets + size + (0 if self._copying is None else self._copying.octets)
        if octets > self._most_octets:
            return OutboxError(
                f"the outbox would have {octets} octets (max_octets); put it again later", True
            )
        return self._refusal()

    def on_tick(self, now: float) -> None:
        """Count from time to time what is in the file: other processes put and send, too.

        Args:
            now: the time, on the loop's clock.
        """
        if now - self._counted_at >= _COUNT_EVERY and self._thread.trouble is None:
            self._counted_at = now
            self._submit(Kind.LOOK, _count, self._counted)

    def _counted(self, result: tuple[int, int] | OutboxError) -> None:
        if not isinstance(result, OutboxError):
            self._in_file, self._octets = result

    # Refusals

    def _refuse_for_good(self, why: str, mail: SendMail, answer: Answer) -> None:
        """Raise where somebody waits; else publish it: no email is dropped without a word."""
        if answer.is_asked:
            answer.set_exception((ValueError, ValueError(why), None))
        else:
            self._refuse(mail, answer, why, retryable=False)

    def _refuse(self, mail: SendMail, answer: Answer, detail: str, *, retryable: bool) -> None:
        failure = failure_of(mail, self._alias, FailureKind.LOCAL, detail, retryable=retryable)
        publish_stored(failure, is_asked=answer.is_asked, is_replayed=False)
        answer.set(failure)

    def refuse_late(self, mail: SendMail) -> None:
        """Publish that an email came too late: the outbox had stopped before it took it."""
        detail = "the Outbox was stopped before it took the email; it is not in the file"
        failure = failure_of(mail, self._alias, FailureKind.CANCELLED, detail, retryable=True)
        publish_stored(failure, is_asked=False, is_replayed=False)


def _release(
    written: WrittenBody,
    done: Callable[[int | Clash | OutboxError], object],
    result: int | Clash | OutboxError,
) -> None:
    """Go on after a put: if no row names the file of the body, it is nobody's now."""
    written.release()
    done(result)


def _count(store: Store) -> tuple[int, int]:
    return store.undelivered(), store.octets()
