"""Whether a failure is one of the address, so that the host's next may do better.

RFC 5321 §5.1: a client tries a host's addresses in order until a delivery attempt succeeds. Here
that holds until MAIL is said: what comes after it is about the mail.
"""

from ..words.reply import Reply
from ..words.stage import Stage
from ..words.verdict import Failed, FailureKind

_BROKEN = frozenset({FailureKind.CONNECTION, FailureKind.TIMEOUT, FailureKind.PROTOCOL})
_EARLY = frozenset({Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS})


def is_of_the_address(failed: Failed) -> bool:
    """Whether another address of the host may do better.

    Not where we are what it does not like: our name, certificate or password. Nor where it is
    not who it should be: to go on asking would be what an attacker wants.

    Args:
        failed: what became of the attempt.
    """
    if failed.stage not in _EARLY or failed.maybe_accepted:
        return False
    if failed.kind in _BROKEN:
        return True
    if failed.kind is FailureKind.SECURITY:
        return failed.stage is Stage.STARTTLS and failed.retryable  # RFC 3207 §4: 454
    return failed.kind is FailureKind.SMTP and _is_closed(failed.stage, failed.reply)


def _is_closed(stage: Stage, reply: Reply | None) -> bool:
    """Whether a reply turns everybody away: any does that in place of the greeting."""
    return stage is Stage.GREETING or (reply is not None and reply.is_transient)
