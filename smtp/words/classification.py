"""What a reply means at each stage: the one table of reply code against stage.

RFC 5321 §4.2.1 lets the first digit decide. Exact codes count only where an RFC gives them a
meaning of their own.
"""

import enum
import functools
from typing import cast

from .stage import Stage
from .verdict import FailureKind


class ReplyClass(enum.Enum):
    """What a reply means for the mail.

    The values are, for a failure: kind, retryable, maybe_accepted.
    """

    POSITIVE = "the command was obeyed; go on"
    TRANSIENT = (FailureKind.SMTP, True, False)
    PERMANENT = (FailureKind.SMTP, False, False)
    UNEXPECTED = (FailureKind.PROTOCOL, True, False)
    """A reply that cannot follow here, before the dot: nothing was accepted."""
    AMBIGUOUS = (FailureKind.PROTOCOL, False, True)
    """A reply that is no verdict, after the dot: nobody knows (RFC 1047)."""

    @property
    def failure(self) -> tuple[FailureKind, bool, bool]:
        """The kind of the failure, whether it is retryable, and whether maybe accepted."""
        return cast("tuple[FailureKind, bool, bool]", self.value)


SERVICE_CLOSING = 421
"""The server closes the connection; it may say so at any time (RFC 5321 §3.8)."""

# RFC 5321 §3.2 and §4.1.4: only these may say "I do not know EHLO".
EHLO_UNKNOWN = frozenset({500, 501, 502, 504})
# RFC 5321 §4.1.4 and §4.2.2: these mostly say "I do not like the name, or whose it is".
NAME_REFUSED = frozenset({501, 504, 550})

# RFC 5321 §4.2.4: "I do not know this command". To BDAT, that says nothing of the mail.
COMMAND_UNKNOWN = frozenset({500, 501, 502, 503})


@functools.cache  # of the few hundred pairs that there are, a server uses a dozen
def classify(stage: Stage, code: int) -> ReplyClass:
    """Say what a reply code means as the answer to a stage's command.

    Args:
        stage: GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY (a reply that came before
            the dot went out), DOT or QUIT.
        code: 200 to 599.
    """
    if code < 300:
        if stage is Stage.GREETING:
            # RFC 5321 §4.3.2: 220 opens a session; 221, for one, closes it.
            return ReplyClass.POSITIVE if code == 220 else ReplyClass.UNEXPECTED
        if stage is Stage.DATA or stage is Stage.BODY:
            return ReplyClass.UNEXPECTED
        return ReplyClass.POSITIVE
    if code < 400:
        if stage is Stage.DATA:
            return ReplyClass.POSITIVE
        return ReplyClass.AMBIGUOUS if stage is Stage.DOT else ReplyClass.UNEXPECTED
    # RFC 5321 §4.5.3.1.10: 552 at RCPT is "too many recipients", which 452 should have said.
    if code < 500 or (code == 552 and stage is Stage.RCPT):
        return ReplyClass.TRANSIENT
    return ReplyClass.PERMANENT
