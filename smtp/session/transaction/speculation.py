"""When MAIL, RCPT and the mail data can be sent in one write."""

from ..opening.session import Session
from .parameters import PreparedMail

MAX_SPECULATIVE_SIZE = 65_536
"""Octets of an email that may be sent in full before MAIL and RCPT have replies. Larger ones cost
too much if all recipients are then rejected."""


def can_be_speculative(session: Session, prepared: PreparedMail) -> bool:
    """Whether MAIL, RCPT and the mail data can be sent in one write.

    RFC 3030 §2 describes sending the mail data after all replies to MAIL and RCPT, but does not
    require it. Exim and Google do not wait either, so servers are used to it.

    Not a large email, as all recipients may be rejected. Not after RSET: if the server rejects that
    and obeys the rest, it accepts an email in a session that has failed. Not in a reused session
    with a server that has closed such a one without a reply: if MAIL is sent alone then, nothing is
    `maybe_accepted`, and a new connection can be used.
    """
    return (
        not session.needs_reset
        and not session.quirks.sends_unsolicited
        and not (session.transactions and session.quirks.closes_without_reply)
        and prepared.is_chunked
        and prepared.size <= MAX_SPECULATIVE_SIZE
        and prepared.rendition.data is not None
        and not session.is_lmtp
    )
