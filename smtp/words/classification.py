"""The class of a reply at each stage: the one table of reply code against stage.

By RFC 5321 §4.2.1 the first digit decides. Exact codes count only where an RFC gives them a
meaning of their own.
"""

import enum
import functools
from typing import cast

from .stage import Stage
from .verdict import FailureKind


class ReplyClass(enum.Enum):
    """What a reply means for the email.

    The value of a failure is the tuple (kind, retryable, maybe_accepted).
    """

    POSITIVE = "the command was obeyed; go on"
    TRANSIENT = (FailureKind.SMTP, True, False)
    PERMANENT = (FailureKind.SMTP, False, False)
    UNEXPECTED = (FailureKind.PROTOCOL, True, False)
    """An invalid reply for this stage, before the end of the mail data: nothing was accepted."""
    AMBIGUOUS = (FailureKind.PROTOCOL, False, True)
    """An invalid final reply, after the end of the mail data: the server may have accepted the
    email (RFC 1047)."""

    @property
    def failure(self) -> tuple[FailureKind, bool, bool]:
        """The kind of the failure, whether it is retryable, and whether it is maybe_accepted."""
        return cast("tuple[FailureKind, bool, bool]", self.value)


SERVICE_CLOSING = 421
"""The server closes the connection; it may send this reply at any time (RFC 5321 §3.8)."""

# RFC 5321 §3.2 and §4.1.4: only these may mean that the server does not know EHLO.
EHLO_UNKNOWN = frozenset({500, 501, 502, 504})
# RFC 5321 §4.1.4 and §4.2.2: these mostly mean that the server rejects the EHLO name or the client.
NAME_REFUSED = frozenset({501, 504, 550})

# RFC 5321 §4.2.4: the command is unknown. As the reply to BDAT, that does not reject the email.
COMMAND_UNKNOWN = frozenset({500, 501, 502, 503})


@functools.cache  # bounded: there are a few thousand pairs, and a server uses a dozen
def classify(stage: Stage, code: int) -> ReplyClass:
    """Return the class of a reply to the command of a stage.

    Args:
        stage: GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY (a reply that was received
            before the end of the mail data was sent), DOT or QUIT.
        code: 200 to 599.
    """
    if code < 300:
        if stage is Stage.GREETING:
            # RFC 5321 §4.3.2: only 220 opens a session; 221, for example, closes it.
            return ReplyClass.POSITIVE if code == 220 else ReplyClass.UNEXPECTED
        if stage is Stage.DATA or stage is Stage.BODY:
            return ReplyClass.UNEXPECTED
        return ReplyClass.POSITIVE
    if code < 400:
        if stage is Stage.DATA:
            return ReplyClass.POSITIVE
        return ReplyClass.AMBIGUOUS if stage is Stage.DOT else ReplyClass.UNEXPECTED
    # RFC 5321 §4.5.3.1.10: 552 at RCPT means "too many recipients", for which 452 is correct.
    if code < 500 or (code == 552 and stage is Stage.RCPT):
        return ReplyClass.TRANSIENT
    return ReplyClass.PERMANENT
