"""Emails handed over in the transaction of the project, for an Outbox on the same SQLite file."""

import functools
import importlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..actors.outbox.handover import handover
from ..actors.outbox.store.wake import wake_lives
from ..signals.send_mail import SendMail


def check_database(name: str) -> None:
    """Check the setting SMTP_OUTBOX, or the option ``outbox``.

    Args:
        name: its value.

    Raises:
        ValueError: it is not the alias of a database.
    """
    known = list(_connections())
    if name not in known:
        raise ValueError(
            f"SMTP_OUTBOX (outbox): needs the alias of a database, one of {', '.join(known)};"
            f" not {name!r:.60}"
        )


def hand_over(name: str, mails: Iterable[SendMail], alias: str) -> int:
    """Put emails into the project's database, in its transaction; return how many.

    Args:
        name: the alias of the database.
        mails: the emails.
        alias: that of their signals.

    Raises:
        ValueError: an email is invalid, or the database is not SQLite.
        OutboxError: the database has no tables of an outbox.
        django.db.Error: it cannot be written.
    """
    connection = _connections()[name]
    count = 0
    for mail in mails:
        handover(connection, mail, alias=alias)
        count += 1
    if count:
        importlib.import_module("django.db.transaction").on_commit(
            functools.partial(_wake, connection), using=name
        )
    return count


def _wake(connection: Any) -> None:
    """Wake the processes that send; they would look within a quarter of a second, too."""
    if not connection.is_in_memory_db():
        wake_lives(Path(os.path.realpath(connection.settings_dict["NAME"])))


def _connections() -> Any:
    # Not when the module is imported: a project without a database needs none of it.
    return importlib.import_module("django.db").connections
