"""Send one email, and wait for its outcome."""

from pykka_smtp import SendMail, SmtpActor

me, you = "me@example.com", "you@example.org"

# begin
outcome = SmtpActor.start("localhost").ask(SendMail(sender=me, recipients=you, body="Hello"))
# end

print(outcome)
