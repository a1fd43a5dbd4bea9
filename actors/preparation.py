"""What of an email must be ready before its attempt has a connection: its file, its signatures."""

import functools
from typing import TYPE_CHECKING

from ..signals.send_mail import SendMail
from ..smtp.mail.content import Content, StreamedContent
from .loop.event_loop import event_loop
from .net.data.mail_source import FileSource, SourceError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from ..signals.protecting.protection import Protection
    from ..signals.signing.dkim import Signers
    from .options.options import Options

_LONGEST_TEXT = 300
_PROMPT = 1.0
"""Seconds within which a file should be open. Until then its email keeps its permit; after that it
gives the permit to another send for as long as the file takes."""


def _signers(mail: SendMail, options: "Options") -> "Signers":
    return options.dkim if mail.dkim is None else mail.dkim


def _protection(mail: SendMail, options: "Options") -> "Protection | tuple[()]":
    return options.protect if mail.protect is None else mail.protect


def source_of(mail: SendMail, options: "Options") -> FileSource | None:
    """Return what an email is read from while it is sent; None for one in memory.

    Args:
        mail: the email.
        options: those of the actor.
    """
    if mail.source is None or _protection(mail, options):
        return None
    signers = _signers(mail, options)
    if not signers:
        return FileSource(mail.source)
    from ..signals.signing.dkim import fields_by  # late: few programs sign

    return FileSource(mail.source, functools.partial(fields_by, signers))


def preparing(
    mail: SendMail, options: "Options", source: FileSource | None, paths: "Sequence[str]"
) -> "asyncio.Future[Content]":
    """Have a worker make an email as it is sent: encrypted, signed, or with its file open.

    A signature takes the processor longer than all the rest of a send, and an email's size does
    not matter then: so each is made by a worker. On the loop thread.

    Args:
        mail: the email.
        options: those of the actor.
        source: what `source_of` has returned.
        paths: the recipients of this attempt.

    Returns:
        A future of the loop's. Its exception is a SourceError if the file can't be read, or the
        email can't be signed or encrypted; a BlockingIOError if too many emails wait already.
    """
    loop = event_loop()
    if source is not None:
        return loop.file_open_pool.run(_opened, source, mail.needs_smtputf8)
    protection, signers = _protection(mail, options), _signers(mail, options)
    # A file system that hangs must not hang those that sign.
    workers = loop.signing_pool if mail.source is None else loop.file_open_pool
    return workers.run(_made, mail, protection, signers, paths)


def limit(
    opening: "asyncio.Future[Content]", deadline: float, step_aside: "Callable[[], object]"
) -> None:
    """Wait for a worker for some time only. On the loop thread.

    Args:
        opening: what `preparing` has returned. It is cancelled at the deadline.
        deadline: seconds.
        step_aside: is called if it is not ready soon, so that others need not wait for it.
    """
    loop = event_loop().loop
    timers = loop.call_later(_PROMPT, step_aside), loop.call_later(deadline, opening.cancel)

    def cancel(_opening: object) -> None:
        for timer in timers:
            timer.cancel()

    opening.add_done_callback(cancel)


def _opened(source: FileSource, needs_smtputf8: bool) -> Content:
    return StreamedContent(source.open(), needs_smtputf8)


def _made(
    mail: SendMail,
    protection: "Protection | tuple[()]",
    signers: "Signers",
    paths: "Sequence[str]",
) -> Content:
    content = _protected(mail, protection, paths) if protection else mail.content
    assert content is not None
    if not signers:
        return content
    from ..signals.signing.dkim import signed
    from ..smtp.mail.dkim.digest import UnsignableError

    try:
        return signed(content, signers)
    except UnsignableError as error:
        raise SourceError(f"cannot sign the email: {error}") from None


def _protected(mail: SendMail, protection: "Protection", paths: "Sequence[str]") -> Content:
    from ..signals.protecting.protection import protected

    try:
        return protected(mail, protection, paths)
    except (OSError, ValueError) as error:
        doing = "encrypt" if protection.encrypts else "sign"
        text = " ".join(str(error).split())[:_LONGEST_TEXT]
        raise SourceError(f"cannot {doing} the email: {text}") from None
