"""Send from an asyncio program, which goes on meanwhile."""

import asyncio

from pykka_smtp import SendMail, SmtpActor

mail = SendMail(sender="me@example.com", recipients="you@example.org", body="There.")


async def main() -> None:
    # begin
    outcome = await SmtpActor.start("localhost").ask(mail, block=False)
    # end
    print(outcome)


asyncio.run(main())
