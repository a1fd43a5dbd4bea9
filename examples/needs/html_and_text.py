"""Text, and the same as HTML."""

from pykka_smtp import SendMail, SmtpActor

me, you = "me@example.com", "you@example.org"

# begin
html = '<p>Lunch at <a href="https://example.com">one</a>?</p>'
# end

mail = SendMail(sender=me, recipients=you, body="Lunch at one?", html=html)
print(SmtpActor.start("localhost").ask(mail))
