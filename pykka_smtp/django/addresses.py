"""The address in what Django calls an email address, which may have a display name."""

import re
from email.headerregistry import AddressHeader
from typing import Any, cast

from ..smtp.words.shown import shown

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


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
    if _CONTROL.search(text):  # such as a line break, which would be lost in parsing
        raise _invalid(field, text, "it has a control character")
    try:
        # The parser that the package email uses for the header; it reports what it repairs.
        parsed = cast("Any", AddressHeader.value_parser(text))
        faults = sorted({str(defect).rstrip(")") for defect in parsed.all_defects} - _ALLOWED)
        mailboxes = list(parsed.all_mailboxes)
        address = str(mailboxes[0].addr_spec) if len(mailboxes) == 1 else None
    except (IndexError, ValueError, AttributeError) as error:  # of texts that it cannot parse
        raise _invalid(field, text, f"{type(error).__name__} in parsing it") from None
    if faults:
        raise _invalid(field, text, "; ".join(faults))
    if address is None:
        raise _invalid(field, text, "it must be exactly one address")
    return address


# A mailbox without domain is refused when the email is made: that error says more. One that needs
# SMTPUTF8 is refused here, as Django 6.1 does: Django cannot write it into the header.
_ALLOWED = frozenset({"addr-spec local part with no domain"})


def _invalid(field: str, text: str, why: str) -> ValueError:
    return ValueError(f"Invalid address {shown(text)} in {field}: {why}")
