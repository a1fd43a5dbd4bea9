"""The parameters of MAIL: what this mail needs, said in the way that this server offers."""

from .content import MAX_TEXT_LINE, Content, Rendition
from .envelope import Envelope
from .refusal import Unsendable
from .session import Session


def check_mail(session: Session, rendition: Rendition) -> None:
    """See that the server can take the mail as it is.

    Raises:
        Unsendable: it cannot.
    """
    facts = rendition.facts
    if facts is None or rendition.is_binary:
        return
    if facts.nul:
        raise Unsendable("the mail has a NUL octet, which this server cannot take; encode the part")
    if facts.longest_line > MAX_TEXT_LINE:
        raise Unsendable(
            f"the mail has a line of {facts.longest_line} octets, over {MAX_TEXT_LINE};"
            " encode the part as quoted-printable or base64"
        )
    if facts.eight_bit and not session.extensions.eight_bit_mime:
        raise Unsendable(
            f"{session.server} takes no 8-bit mail (no 8BITMIME);"
            " encode the parts as quoted-printable or base64"
        )


def mail_parameters(
    session: Session, envelope: Envelope, content: Content, rendition: Rendition
) -> list[str]:
    """Return the parameters of MAIL.

    Raises:
        Unsendable: the mail needs what the server does not offer.
    """
    extensions, facts = session.extensions, rendition.facts
    parameters: list[str] = []
    if envelope.needs_smtputf8 or content.needs_smtputf8:
        if not extensions.smtputf8:
            raise Unsendable(
                f"{session.server} takes no addresses beyond ASCII (no SMTPUTF8);"
                " use ASCII addresses"
            )
        parameters.append("SMTPUTF8")  # RFC 6531 §3.4
    if rendition.is_binary:
        parameters.append("BODY=BINARYMIME")  # RFC 3030 §3
    elif facts.eight_bit if facts is not None else extensions.eight_bit_mime:
        # A stream that can be read only once declares the most that it may need.
        parameters.append("BODY=8BITMIME")  # RFC 6152 §2
    if facts is not None and extensions.offers_size:
        limit = extensions.size_limit
        if limit is not None and facts.size > limit:
            raise Unsendable(
                f"{session.server} takes mails of up to {limit} octets; this one has {facts.size}"
            )
        parameters.append(f"SIZE={facts.size}")  # RFC 1870 §5
    return parameters
