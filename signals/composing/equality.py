"""When two emails are the same to a program."""

from typing import Any, cast

from ...smtp.mail.compose import TextEmail
from ...smtp.mail.content import CompleteContent, ComposedContent

# `SendMail` imports this module, so its type has no name here.


def are_same(mine: Any, its: Any) -> bool:
    """Whether two emails were given the same values, but for `id` and what is made of it."""
    return _asked(mine) == _asked(its) and _have_same_message(mine, its)


def _asked(mail: Any) -> tuple[object, ...]:
    return (
        *(mail.sender, mail.recipients, mail.cc, mail.bcc, mail._options(), mail.context),
        *(mail.success_signal, mail.failure_signal, mail.outcome_to, mail.dkim),
        mail.protect,
    )


def _have_same_message(mine: Any, its: Any) -> bool:
    if mine.message is None and its.message is None:
        return _made_of(mine) == _made_of(its)
    if isinstance(mine.content, CompleteContent) and isinstance(its.content, CompleteContent):
        # Two email objects are never equal, but what they were serialized to may be.
        return bool(mine.message == its.message) or mine.content.data == its.content.data
    return type(mine.content) is type(its.content) and bool(mine.message == its.message)


def _made_of(mail: Any) -> tuple[object, ...]:
    """Return what it was made of, without its Message-ID, and a date that was not given."""
    content = mail.content
    email = content.email if isinstance(content, ComposedContent) else mail._parts
    assert email is not None
    body: object = email.body if isinstance(email, TextEmail) else mail.body
    return (
        *(email.from_name, email.to, email.cc, email.subject, email.headers, email.fields),
        *(
            tuple(cast("list[object]", body)) if isinstance(body, list) else body,
            mail.html,
            mail.inline or None,
        ),
        *(tuple(mail.attachments), mail.calendar, mail.date),
    )
