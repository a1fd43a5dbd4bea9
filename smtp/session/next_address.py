"""Whether a failure concerns one address of a host, so that the next address may work.

RFC 5321 §5.1: a client tries a host's addresses in order until a delivery attempt succeeds. Here
it does so until MAIL is sent: failures after that concern the email.
"""

from ..words.reply import Reply
from ..words.stage import Stage
from ..words.verdict import Failed, FailureKind

_SESSION_FAILURES = frozenset({FailureKind.CONNECTION, FailureKind.TIMEOUT, FailureKind.PROTOCOL})
_EARLY = frozenset({Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS})


def is_of_the_address(failed: Failed) -> bool:
    """Whether another address of the host may work.

    Not if the server rejected the client: its name, certificate or password. Nor if the server
    failed to prove its identity: trying on would be what an attacker wants.

    Args:
        failed: the verdict at this address.
    """
    if failed.stage not in _EARLY or failed.maybe_accepted:
        return False
    if failed.kind in _SESSION_FAILURES:
        return True
    if failed.kind is FailureKind.SECURITY:
        return failed.stage is Stage.STARTTLS and failed.retryable  # RFC 3207 §4: 454
    return failed.kind is FailureKind.SMTP and _is_closed(failed.stage, failed.reply)


def _is_closed(stage: Stage, reply: Reply | None) -> bool:
    """Whether a reply rejects all clients: as any rejection instead of the greeting does."""
    return stage is Stage.GREETING or (reply is not None and reply.is_transient)
