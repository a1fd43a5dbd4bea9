"""What of an email must be ready before its attempt has a connection: its file, its signatures."""

import functools
from typing import TYPE_CHECKING

from ..signals.send_mail import SendMail
from ..smtp.mail.content import Content, StreamedContent
from .loop.event_loop import event_loop
from .net.data.mail_source import FileSource, SourceError

if TYPE_CHECKING:
    from ..signals.signing.dkim import Signers


def source_of(mail: SendMail, signers: "Signers") -> FileSource | None:
    """Return what an email is read from while it is sent; None for one in memory.

    Args:
        mail: the email.
        signers: who signs those that have no `dkim` of their own.
    """
    if mail.source is None:
        return None
    if mail.dkim is not None:
        signers = mail.dkim
    if not signers:
        return FileSource(mail.source)
    from ..signals.signing.dkim import fields_by  # late: few programs sign

    return FileSource(mail.source, functools.partial(fields_by, signers))


async def prepare(mail: SendMail, signers: "Signers", source: FileSource | None) -> Content:
    """Return an email as it is sent: signed, or with its file open. On the loop thread.

    A signature takes the processor longer than all the rest of a send, and an email's size does
    not matter then: so each is made by a worker.

    Args:
        mail: the email.
        signers: who signs those that have no `dkim` of their own.
        source: what `source_of` has returned.

    Raises:
        SourceError: the file can't be read, or the email can't be signed.
        BlockingIOError: too many emails wait for it already.
    """
    if source is not None:
        facts = await event_loop().file_open_pool.run(source.open)
        return StreamedContent(facts, mail.needs_smtputf8)
    content = mail.content
    assert content is not None
    if mail.dkim is not None:
        signers = mail.dkim
    if not signers:
        return content
    from ..signals.signing.dkim import signed
    from ..smtp.mail.dkim.digest import UnsignableError

    try:
        return await event_loop().signing_pool.run(signed, content, signers)
    except UnsignableError as error:
        raise SourceError(f"cannot sign the email: {error}") from None
