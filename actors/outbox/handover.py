"""`handover`: an email in the program's own transaction, for an Outbox on its own file."""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

from ...signals.send_mail import SendMail
from ..options.option_checks import check_alias
from .messages import Put, Receipt
from .options import OUTBOX_DEFAULTS, RETRY
from .store.errors import OutboxError
from .store.outside.foreign import put_in_transaction
from .store.records import Clash, NewMail
from .store.sqlite.schema import script
from .text.mail_text import MAX_SIZE
from .text.seals import NO_DIGEST, SealError, Seals


def handover(
    connection: Any,
    mail: SendMail,
    *,
    key: str | None = None,
    alias: str | None = None,
    not_before: dt.datetime | None = None,
    expires: dt.datetime | None = None,
    priority: int = 0,
    at_least_once: bool | None = None,
    seal: Callable[[bytes], bytes] | None = None,
) -> Receipt:
    """Put an email into the program's own database, in the transaction of the program.

    ::

        with connection:  # of sqlite3: commits at its end, or rolls back
            connection.execute("INSERT INTO orders ...")
            handover(connection, SendMail(...), key="order-4711")

    If the transaction is committed, the email will be sent: by an Outbox on the same file, in this
    process or another, such as ``pykka-smtp outbox run``. If it is rolled back, there was none.

    The connection is of `sqlite3`; a ``Session``, ``scoped_session`` or ``Connection`` of
    SQLAlchemy; or ``django.db.connection``; to an SQLite file. The tables are made by an Outbox
    that is started on the file, or by the statements of `outbox_schema`. A connection that commits
    each statement by itself (autocommit) commits the email at once.

    Call it on the thread of the connection. It needs the write lock, as each ``INSERT`` does.

    Args:
        connection: the connection.
        mail: the email. Its `context` must be JSON, its signals must have names.
        key: names the email. While one with this key is kept, another is no second one.
        alias: the alias of its signals: an Outbox with this alias publishes the outcome. Default:
            ``"outbox"``, as that of an Outbox is.
        not_before: as for `Put`.
        expires: as for `Put`.
        priority: as for `Put`.
        at_least_once: as for `Put`; True by default, whatever an Outbox says.
        seal: that of the Outbox, if its emails are sealed. It cannot open what is there, so any
            email with a known key is a duplicate then.

    Returns:
        The receipt. It counts once the transaction is committed.

    Raises:
        TypeError: the connection is of another kind; or as for `Put`.
        ValueError: the database is not SQLite; the key is that of another email; or as for `Put`.
        OutboxError: the database has no tables of an outbox; or its emails are sealed, and `seal`
            is missing, or has raised.
        Exception: what the connection raises, if the database cannot be written.
    """
    put = Put(
        mail,
        key=key,
        not_before=not_before,
        expires=expires,
        priority=priority,
        at_least_once=at_least_once,
    )
    if mail.outcome_to is not None:
        raise ValueError(
            "outcome_to: the outcome of an email that is handed over goes to signals only"
        )
    new = new_mail(put, OUTBOX_DEFAULTS["alias"] if alias is None else alias, seal)
    clash = put_in_transaction(connection, new)
    return receipt_of(new, clash)


def new_mail(put: Put, alias: str, seal: Callable[[bytes], bytes] | None = None) -> NewMail:
    """Return what is written into the file, for an email that no life of an Outbox has put.

    Args:
        put: the email, checked.
        alias: the alias of its signals.
        seal: encrypts it, or None.

    Raises:
        ValueError: the alias is invalid, or the email is too large for a row.
        TypeError: it has the wrong type.
        OutboxError: `seal` has raised.
    """
    text, now = put.text, time.time()
    if text.large is not None:
        raise ValueError(
            f"the email has {text.size} octets, and more than {MAX_SIZE} only a running Outbox"
            " takes: Outbox.ask(Put(...))"
        )
    env, body, digest = text.env, text.body, text.digest
    if seal is not None:
        digest = NO_DIGEST
        seals = Seals(seal, seal)  # nothing is opened
        try:
            env, body = seals.text(env), seals.body(body)
        except SealError as error:
            raise OutboxError(str(error)) from None
    return NewMail(
        id=text.mail.id,
        key=put.key or text.mail.id,
        alias=check_alias(alias),
        digest=digest,
        env=env,
        body=body,
        priority=put.priority,
        due=now if put.not_before is None else put.not_before.timestamp(),
        expires=None if put.expires is None else put.expires.timestamp(),
        put_at=now,
        at_least_once=RETRY.at_least_once if put.at_least_once is None else put.at_least_once,
        claim=False,
    )


def receipt_of(new: NewMail, clash: Clash | None) -> Receipt:
    """Return the receipt of an email.

    Args:
        new: the email.
        clash: what has its key already, or None.

    Raises:
        ValueError: that is another email.
    """
    if clash is None:
        return Receipt(new.id, new.key)
    if not clash.is_same:
        raise ValueError(f"key {new.key!r} is that of another email ({clash.id})")
    return Receipt(clash.id, new.key, is_duplicate=True)


def outbox_schema() -> str:
    """Return the SQL that makes the tables of an outbox, for a migration of the program.

    All names begin with ``pykka_smtp_``. To run it twice does no harm.

    Returns:
        Statements, each with a semicolon at its end.
    """
    return script()
