"""What takes the lines of a session, where they are asked for."""

import logging
from typing import TYPE_CHECKING

from ..smtp.session.dialog.transcript import Trace

if TYPE_CHECKING:
    from .session_watcher import SessionWatcher


def trace_of(
    mail_id: str,
    alias: str,
    transcript: list[str] | None,
    logger: logging.Logger | None,
    watcher: "SessionWatcher | None",
) -> Trace:
    """Return what records the lines of a session.

    Args:
        mail_id: the email's, for the log.
        alias: the actor's, for the log.
        transcript: takes the lines for the outcome, or None.
        logger: takes them at DEBUG, or None.
        watcher: publishes replies, or None.
    """

    def trace(who: str, line: str) -> None:
        if transcript is not None:
            transcript.append(f"{who}: {line}")
        if logger is not None:
            logger.debug("%s %s %s: %s", alias, mail_id, who, line)
        if watcher is not None:
            watcher.note_line(who, line)

    return trace
