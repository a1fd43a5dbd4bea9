"""Send many emails, on reused connections, not too fast; deferred ones are tried again."""

from pykka_smtp import Drain, Mailer, SendMail

readers = [f"reader{number}@example.org" for number in range(1_000)]
mails = [SendMail(sender="news@example.com", recipients=reader, body="None.") for reader in readers]

# begin
mailer = Mailer.start("localhost", rate="5000/s")
mailer.tell_all(mails)
mailer.ask(Drain())
# end

mailer.stop()
