"""Makes the parts of an email of what a program has given to `SendMail`."""

import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, cast

from ...smtp.mail.parts.cids import check_cid, check_references
from ...smtp.mail.parts.entity import Entity, text_entity
from ...smtp.mail.parts.fields import (
    Unsubscribe,
    answer_fields,
    auto_submitted_field,
    list_id_field,
    mailboxes_field,
)
from ...smtp.mail.parts.parts_email import PartsEmail, nested
from ...smtp.mail.parts.text import lines_of, octets_of
from ..recipients import addresses_of, split_names
from .attachment import Attachment, attachment_of
from .from_html import FROM_HTML
from .html import Html, invitation_of

# `SendMail` imports this module, so its type has no name here.
_MOST_PARTS = 1000
_NOTHING: object = ()
_STACK = 6  # calls between the program and the warning


def fields_of(mail: Any) -> tuple[str, ...]:
    """Return the header fields that have an argument of their own, complete.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: a value cannot be sent.
    """
    fields: list[str] = []
    if mail.reply_to is not None:
        names, addresses = split_names("reply_to", addresses_of("reply_to", mail.reply_to))
        if not addresses:
            raise ValueError("reply_to: empty; leave it out, or give an address")
        named = zip(names or (None,) * len(addresses), addresses, strict=True)
        fields.append(mailboxes_field("Reply-To", tuple(named)))
    if mail.in_reply_to is not None or mail.references is not None:
        fields += answer_fields(mail.in_reply_to, mail.references)
    if mail.list_id is not None:
        fields.append(list_id_field(mail.list_id))
    unsubscribe: object = mail.unsubscribe
    if unsubscribe is not None:
        if not isinstance(unsubscribe, Unsubscribe):
            kind = type(unsubscribe).__name__
            raise TypeError(f"unsubscribe: needs Unsubscribe(url=..., mailto=...), not {kind}")
        fields += unsubscribe.lines()
    if mail.auto_submitted is not None:
        fields.append(auto_submitted_field(mail.auto_submitted))
    return tuple(fields)


def attachments_of(value: object) -> tuple[Attachment, ...]:
    """Return what is attached.

    Args:
        value: one or several paths or attachments.

    Raises:
        TypeError: it has another type.
        ValueError: one cannot be attached, or there are too many.
        OSError: a file cannot be read.
    """
    if value is _NOTHING:
        return ()  # to ask for abstract types costs more
    if _is_one(value):
        return (attachment_of("attachments", value),)
    kind = type(value).__name__
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"attachments: needs paths or Attachment objects in a list, not {kind}")
    found: list[Attachment] = []
    for item in cast("Iterable[object]", value):
        if len(found) == _MOST_PARTS:
            raise ValueError(f"attachments: more than {_MOST_PARTS}")
        found.append(attachment_of(f"attachments[{len(found)}]", item))
    return tuple(found)


def _is_one(value: object) -> bool:
    return isinstance(value, Attachment | os.PathLike)


def inline_of(value: object) -> dict[str, Attachment] | None:
    """Return what the HTML embeds, by its names.

    Args:
        value: a mapping of names to paths, octets or attachments; or nothing.

    Raises:
        TypeError: it has another type.
        ValueError: a name is invalid, or there are too many.
        OSError: a file cannot be read.
    """
    if not value:
        return None
    if not isinstance(value, Mapping):
        kind = type(value).__name__
        raise TypeError(f'inline: needs a mapping such as {{"logo": Path("logo.png")}}, not {kind}')
    items = cast("Mapping[object, object]", value)
    if len(items) > _MOST_PARTS:
        raise ValueError(f"inline: more than {_MOST_PARTS}")
    return {
        check_cid(cid): attachment_of(f"inline[{cid!r}]", item, octets=True)
        for cid, item in items.items()
    }


def parts_email(mail: Any, head: dict[str, Any], unique: str) -> PartsEmail:
    """Return an email of several parts.

    Args:
        mail: has the parts; `attachments` and `inline` are checked.
        head: what `Head` takes.
        unique: for the boundaries: random hexadecimal digits.

    Raises:
        TypeError: a part has the wrong type.
        ValueError: a part cannot be sent; the HTML embeds what is not there.
    """
    inline: dict[str, Attachment] = mail.inline or {}
    html = mail.html if mail.html is None or isinstance(mail.html, Html) else Html(mail.html)
    if html is None and inline:
        raise ValueError("inline: there is no html that embeds it; use attachments")
    texts = _texts(mail.body, html)
    if html is not None and (html.named or inline):
        unused = check_references(html.text, html.named, inline)
        if unused:
            warnings.warn(
                f"inline: html does not embed {', '.join(unused)}; clients will show it as an"
                " attachment",
                stacklevel=_STACK,
            )
    entity = nested(
        texts=texts,
        inline=[part.entity(cid) for cid, part in inline.items()],
        others=() if mail.calendar is None else (invitation_of(mail.calendar),),
        files=[part.entity() for part in mail.attachments],
        unique=unique,
    )
    return PartsEmail(**head, entity=entity)


def _texts(body: Any, html: Html | None) -> list[Entity]:
    """Return the text, and the same as HTML, those of them that there are."""
    texts: list[Entity] = []
    if body is FROM_HTML:
        if html is None:
            raise ValueError("body: FROM_HTML needs html=")
        texts.append(html.words)
    else:
        text = octets_of(body if isinstance(body, str | bytes) else lines_of(body))
        if text:
            texts.append(text_entity(text, "text/plain"))
    if html is not None:
        texts.append(html.entity)
    return texts
