"""The address in what Django calls an email address, which may have a display name."""

from email.headerregistry import AddressHeader
from typing import Any, cast

from ..smtp.words.shown import shown


def address_of(field: str, mailbox: object) -> str:
    """Return the bare address, for the envelope.

    Args:
        field: the name of the value in errors.
        mailbox: an address, ``Name <address>``, or a lazy text of one.

    Raises:
        ValueError: it is not exactly one valid mailbox. The text begins with "Invalid address", as
            Django's does.
    """
    text = str(mailbox)
    if text == "<>":  # the null reverse-path (RFC 5321 §4.5.5)
        return text
    if not text.isprintable():  # such as a line break, which would be lost in parsing
        raise _invalid(field, text, "it has a character that is not printable")
    try:
        # The parser that the package email uses for the header; it reports what it repairs.
        parsed = cast("Any", AddressHeader.value_parser(text))
        faults = sorted({str(defect) for defect in parsed.all_defects} - _ALLOWED)
        mailboxes = list(parsed.all_mailboxes)
        address = str(mailboxes[0].addr_spec) if len(mailboxes) == 1 else None
    except (IndexError, ValueError, AttributeError) as error:  # of texts that it cannot parse
        raise _invalid(field, text, f"{type(error).__name__} in parsing it") from None
    if faults:
        raise _invalid(field, text, "; ".join(faults))
    if address is None:
        raise _invalid(field, text, "it must be exactly one address")
    return address


# We have SMTPUTF8 for the one. The address itself is checked when the email is made: it says more
# about the other.
_ALLOWED = frozenset(
    ("local-part contains non-ASCII characters)", "addr-spec local part with no domain")
)


def _invalid(field: str, text: str, why: str) -> ValueError:
    return ValueError(f"Invalid address {shown(text)} in {field}: {why}")
