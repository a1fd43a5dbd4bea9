"""Send one email; an exception says that it was not sent, and why."""

from pykka_smtp import SendMail, SmtpActor

mail = SendMail(sender="me@example.com", recipients="you@example.org", body="There.")

# begin
SmtpActor.start("localhost").ask(mail).raise_for_failure()
# end
