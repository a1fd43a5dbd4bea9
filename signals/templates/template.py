"""`Template`: emails that differ in some values only."""

import dataclasses
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from ..composing.attachment import Attachable, Attachment, Embeddable
from ..composing.composing import attachments_of, inline_of
from ..composing.from_html import FROM_HTML, FromHtml
from ..composing.given import Mailbox
from ..recipients import Recipient
from ..send_mail import SendMail
from .engine import Source, Text, one_line
from .page import Page

TextOrPath: TypeAlias = str | os.PathLike[str]
"""A text, or the path of a file with it, in UTF-8."""

_PARTS = frozenset(("subject", "body", "html", "inline", "message"))
_OPTIONS = frozenset(each.name for each in dataclasses.fields(SendMail) if each.init) - {
    *_PARTS,
    "sender",
    "recipients",
}
_NOBODY: Any = ()
_NAME = re.compile(r"[\w./\\-]{1,200}\.(?:txt|text|html?|j2|jinja2?|md)")


class Template:
    """Makes emails of templates, which jinja2 reads, and of values.

    ``{{ name }}`` stands for a value, and ``{% if … %}`` and ``{% for … %}`` are as in jinja2's
    documentation. Templates run in its sandbox, and reach values and files of their folder only.
    What does not depend on values is encoded once, for all emails. Any number of threads may use
    the same object.

    Args:
        subject: one line; a str, or a path, as all templates.
        body: the text. `FROM_HTML` makes it from each email's HTML.
        html: the same as an HTML page. Values are escaped in it, except `markupsafe.Markup`.
        inline: what the page embeds, as `SendMail` has it.
        attachments: files, as `SendMail` has them, for all emails.
        css: ``"inline"`` writes the rules of ``<style>`` into the elements, since many clients
            read no style sheets; ``@media`` stays as it is.
        folder: whose files templates may include. Default: for a path, the folder of the file.
        options: what else `SendMail` takes, for all emails, such as ``list_id``.

    Raises:
        TemplateError: the syntax of a template is wrong.
        ImportError: the extra ``templates`` is not installed.
        ValueError: an attachment is invalid.
        TypeError: an argument has another type.
        OSError: a file cannot be read.
    """

    def __init__(
        self,
        *,
        subject: TextOrPath | None = None,
        body: TextOrPath | FromHtml | None = None,
        html: TextOrPath | None = None,
        inline: Mapping[str, Embeddable] | None = None,
        attachments: "Attachable | Iterable[Attachable]" = (),
        css: Literal["inline"] | None = None,
        folder: "os.PathLike[str] | str | None" = None,
        **options: Any,
    ) -> None:
        if css not in (None, "inline"):
            raise ValueError(f'css: needs "inline" or None, not {css!r}')
        if body is None and html is None:
            raise TypeError("Template: needs body or html")
        _check_options(options, "a Template")
        place = None if folder is None else Path(folder)
        self._subject: Text | None = None
        if subject is not None:
            self._subject = Text(Source("subject", subject, place), is_html=False)
        self._body: Text | FromHtml | None = None
        if body is not None:
            _warn_of_name("body", body)
            source = None if body is FROM_HTML else Source("body", body, place)
            self._body = FROM_HTML if source is None else Text(source, is_html=False)
        self._page: Page | None = None
        if html is not None:
            _warn_of_name("html", html)
            self._page = Page(Source("html", html, place), has_css=css is not None)
        self._inline: dict[str, Attachment] = inline_of(inline) or {}
        self._attachments: tuple[Attachment, ...] = attachments_of(attachments)
        self._options = options

    def mail(
        self,
        *,
        sender: Mailbox,
        recipients: "str | Iterable[Recipient]" = _NOBODY,
        values: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> SendMail:
        """Return an email.

        Args:
            sender: as `SendMail` has it.
            recipients: as `SendMail` has them.
            values: values by name. Here they may have any names, such as ``date``.
            named: further values; but those that `SendMail` has an argument for, such as
                ``unsubscribe``, are that. Attachments are added to those of the template.

        Raises:
            TemplateError: a value is missing, or a template cannot use it.
            ValueError: the email cannot be sent.
            TypeError: a value for `SendMail` has the wrong type.
            OSError: a file to attach cannot be read.
        """
        if not isinstance(values, Mapping | None):
            raise TypeError(f"values: needs a mapping of names, not {type(values).__name__}")
        texts: dict[str, Any] = {} if values is None else dict(values)
        options: dict[str, Any] = self._options
        if not _OPTIONS.isdisjoint(named) or not _PARTS.isdisjoint(named):
            given = {name: value for name, value in named.items() if name in _OPTIONS}
            named = {name: value for name, value in named.items() if name not in given}
            _check_options(named.keys() & _PARTS, "mail()")
            options = options | given
        texts |= named
        for name, value in texts.items():
            if isinstance(value, Iterator):  # what reads it next, such as the HTML, would get none
                texts[name] = list(cast("Iterator[object]", value))
        attachments: Any = self._attachments
        if "attachments" in options:
            options = dict(options)
            attachments = (*attachments, *attachments_of(options.pop("attachments")))
        if self._subject is not None:
            options = options | {"subject": one_line(self._subject.render(texts))}
        if self._body is not None:
            body = self._body if isinstance(self._body, FromHtml) else self._body.render(texts)
            options = options | {"body": body}
        if self._page is not None:
            options = options | {"html": self._page.render(texts)}
        return SendMail(
            sender=sender,
            recipients=recipients,
            inline=self._inline,
            attachments=attachments,
            **options,
        )


def _warn_of_name(what: str, text: object) -> None:
    """Warn of a text that was probably meant as a path: each email would have but the name."""
    if isinstance(text, str) and _NAME.fullmatch(text):
        warnings.warn(f"{what}: is {text!r} a file? Then write Path({text!r})", stacklevel=3)


def _check_options(names: Iterable[str], what: str) -> None:
    """Check what is to be passed to `SendMail`.

    Raises:
        TypeError: it does not take it, or the template has it.
    """
    for name in names:
        if name in _PARTS:
            raise TypeError(
                f"{what} takes no {name}: the template has it; a value of that name goes into"
                " values={...}"
            )
        if name not in _OPTIONS:
            raise TypeError(f"{what} takes no {name}")
