"""What of an email must be ready before its attempt has a connection: its file, its signatures."""

import functools
from typing import TYPE_CHECKING

from ..signals.send_mail import SendMail
from ..smtp.mail.content import Content, StreamedContent
from .loop.event_loop import event_loop
from .net.data.mail_source import FileSource, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..signals.protecting.protection import Protection
    from ..signals.signing.dkim import Signers
    from .options.options import Options

_LONGEST_TEXT = 300


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


async def prepare(
    mail: SendMail, options: "Options", source: FileSource | None, paths: "Sequence[str]"
) -> Content:
    """Return an email as it is sent: encrypted, signed, or with its file open. On the loop thread.

    A signature takes the processor longer than all the rest of a send, and an email's size does
    not matter then: so each is made by a worker.

    Args:
        mail: the email.
        options: those of the actor.
        source: what `source_of` has returned.
        paths: the recipients of this attempt.

    Raises:
        SourceError: the file can't be read, or the email can't be signed or encrypted.
        BlockingIOError: too many emails wait for it already.
    """
    if source is not None:
        facts = await event_loop().file_open_pool.run(source.open)
        return StreamedContent(facts, mail.needs_smtputf8)
    content = mail.content
    if protection := _protection(mail, options):
        content = await _protected(mail, protection, paths)
    assert content is not None
    signers = _signers(mail, options)
    if not signers:
        return content
    from ..signals.signing.dkim import signed
    from ..smtp.mail.dkim.digest import UnsignableError

    try:
        return await event_loop().signing_pool.run(signed, content, signers)
    except UnsignableError as error:
        raise SourceError(f"cannot sign the email: {error}") from None


async def _protected(mail: SendMail, protection: "Protection", paths: "Sequence[str]") -> Content:
    from ..signals.protecting.protection import protected

    workers = event_loop().signing_pool
    if mail.source is not None:
        workers = event_loop().file_open_pool  # a file system that hangs must not hang those
    try:
        return await workers.run(protected, mail, protection, paths)
    except (OSError, ValueError) as error:
        doing = "encrypt" if protection.encrypts else "sign"
        text = " ".join(str(error).split())[:_LONGEST_TEXT]
        raise SourceError(f"cannot {doing} the email: {text}") from None
