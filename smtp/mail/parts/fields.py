"""Header fields of lists, of answers and of automatic emails: checked, and complete.

RFC 2369 and RFC 8058 (unsubscribe), RFC 2919 (List-Id), RFC 3834 (Auto-Submitted), RFC 5322 §3.6.4
(In-Reply-To and References).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

from ...words.shown import shown
from ..address import to_ascii_domain
from ..folding import fold, pieces_of
from ..header import check_address, check_text, mailbox_field
from ..mailbox import check_display_name
from .head import Mailbox

_MAX_URL = 900
_URL = re.compile(r"https://[A-Za-z0-9\[][!#-;=?-\[\]_a-z~]*", re.IGNORECASE)
_PLAIN_IN_MAILTO = "@!$'()*+,:"
"""Of what an address may have, what means nothing else in such a URL (RFC 6068 section 2)."""
_MAILTO = re.compile(r"mailto:(?=[^?]*(?:@|%40))[!#-;=?-\[\]_a-z~]+", re.IGNORECASE)
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LIST_ID = re.compile(rf"{_ATOM}(?:\.{_ATOM})+")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*+\"")
_ESCAPE = re.compile(r"\\(.)")
_MAX_LIST_ID = 255  # RFC 2919 §3
_ID = re.compile(r"<[!-;=?-~]{1,995}>")
_MAX_REFERENCES = 100  # ids; a longer thread loses those in the middle, as RFC 5537 §3.4.4 has it
AUTO_SUBMITTED = ("no", "auto-generated", "auto-replied", "auto-notified")
"""RFC 3834 §5, RFC 5436 §2.7.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """How a reader leaves a list: by a link in the client's own interface.

    With a `url` the email says that one click is enough (RFC 8058), as the large providers demand
    of bulk senders: they send a POST request to it, without cookies, whose body is
    ``List-Unsubscribe=One-Click``; the server must not ask anything, and must not unsubscribe on a
    GET. They heed it only if DKIM signs both fields.

    Args:
        url: an https URL that names the reader and the list.
        mailto: an address that a message unsubscribes, or a complete ``mailto:`` URL.

    Raises:
        ValueError: neither is given; the URL is not https, or has characters that a URL must
            escape.
        TypeError: one is not a str.
    """

    url: str | None = None
    mailto: str | None = None

    def __post_init__(self) -> None:
        if self.url is None and self.mailto is None:
            raise ValueError("unsubscribe: needs a url, or mailto, or both")
        if self.url is not None:
            _check_url("unsubscribe: the url", self.url, _URL, "https://...")
        if self.mailto is not None:
            self._target()

    def lines(self) -> tuple[str, ...]:
        """Return the fields, complete."""
        targets = ([] if self.url is None else [self.url]) + (
            [] if self.mailto is None else [self._target()]
        )
        pieces = [f" <{target}>," for target in targets]
        pieces[-1] = pieces[-1].removesuffix(",")
        field = fold("List-Unsubscribe", pieces)
        if self.url is None:
            return (field,)
        return field, "List-Unsubscribe-Post: List-Unsubscribe=One-Click"

    def _target(self) -> str:
        text = check_text("unsubscribe: mailto", self.mailto)
        if not text.lower().startswith("mailto:"):
            address = to_ascii_domain(check_address("unsubscribe: mailto", text))
            text = f"mailto:{quote(address, safe=_PLAIN_IN_MAILTO)}"
        _check_url("unsubscribe: mailto", text, _MAILTO, "user@example.org")
        return text


def _check_url(what: str, url: object, form: "re.Pattern[str]", example: str) -> None:
    text = check_text(what, url)
    if len(text) > _MAX_URL:
        raise ValueError(f"{what} has {len(text)} characters; {_MAX_URL} are allowed")
    if not form.fullmatch(text):
        raise ValueError(
            f"{what} {shown(text)} is not of the form {example}, with other characters escaped as"
            " %XX"
        )


def list_id_field(list_id: object) -> str:
    """Return List-Id (RFC 2919).

    Args:
        list_id: ``"news.example.com"``, ``"Name <news.example.com>"``, or a pair of both.

    Raises:
        TypeError: it has another type.
        ValueError: the id is not of that form.
    """
    name: object = None
    label = list_id
    if isinstance(list_id, tuple) and len(cast("tuple[object, ...]", list_id)) == 2:
        name, label = cast("tuple[object, object]", list_id)
    elif isinstance(list_id, str) and list_id.endswith(">"):
        name, _, label = list_id[:-1].rpartition("<")
        name = name.strip(" ")
        if _QUOTED.fullmatch(name):
            name = _ESCAPE.sub(r"\1", name[1:-1])
    text = check_text("list_id", label)
    if not _LIST_ID.fullmatch(text) or len(text) > _MAX_LIST_ID:
        raise ValueError(
            f"list_id: {shown(text)} is not of the form news.example.com, in a domain of yours"
        )
    phrase = check_display_name("list_id", name or "")
    # It is written like a mailbox, with the id for the address (RFC 2919 §2).
    return mailbox_field("List-Id", ((phrase, text),)) if phrase else f"List-Id: <{text}>"


def auto_submitted_field(value: object) -> str:
    """Return Auto-Submitted (RFC 3834 §5).

    Raises:
        TypeError: it is not a str.
        ValueError: it is none of `AUTO_SUBMITTED`.
    """
    text = check_text("auto_submitted", value)
    if text not in AUTO_SUBMITTED:
        raise ValueError(f"auto_submitted: needs one of {', '.join(AUTO_SUBMITTED)}")
    return f"Auto-Submitted: {text}"


def ids_of(what: str, value: object) -> tuple[str, ...]:
    """Return Message-IDs.

    Args:
        what: the name of the value in the error.
        value: one or several in a str, or a sequence of them, with angle brackets.

    Raises:
        TypeError: it has another type.
        ValueError: an id has no angle brackets, or characters that no id has.
    """
    texts = (value,) if isinstance(value, str) else value
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise TypeError(f"{what}: needs a Message-ID or several, not {type(value).__name__}")
    ids: list[str] = []
    for text in cast("Iterable[object]", texts):
        ids += check_text(what, text, tab=True).split()
    for each in ids:
        if not _ID.fullmatch(each):
            raise ValueError(f"{what}: {shown(each)} is not of the form <unique@host>")
    if not ids:
        raise ValueError(f"{what}: is empty; leave it out, or give a Message-ID")
    return tuple(ids)


def answer_fields(in_reply_to: object, references: object) -> tuple[str, ...]:
    """Return In-Reply-To and References, those of them that are given.

    Args:
        in_reply_to: the Message-ID of what this answers, or None.
        references: the ids of the thread, the oldest first; or None for the one answered.

    Raises:
        TypeError: one has the wrong type.
        ValueError: an id is not of the form ``<unique@host>``.
    """
    fields: list[str] = []
    thread: tuple[str, ...] = ()
    if in_reply_to is not None:
        thread = ids_of("in_reply_to", in_reply_to)
        fields.append(_ids_field("In-Reply-To", thread))
    if references is not None:
        thread = ids_of("references", references)
        if len(thread) > _MAX_REFERENCES:
            thread = (thread[0], *thread[1 - _MAX_REFERENCES :])
    if thread:
        fields.append(_ids_field("References", thread))
    return tuple(fields)


def _ids_field(name: str, ids: Sequence[str]) -> str:
    return fold(name, pieces_of(" " + " ".join(ids)))


def mailboxes_field(name: str, mailboxes: Sequence[Mailbox]) -> str:
    """Return a field that lists mailboxes, such as Reply-To.

    Args:
        name: the field's name.
        mailboxes: display name, checked, or None, and address of each.

    Raises:
        ValueError: an address is invalid.
    """
    what = name.lower().replace("-", "_")
    return mailbox_field(
        name, tuple((phrase, check_address(what, address)) for phrase, address in mailboxes)
    )
