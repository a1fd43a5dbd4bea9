"""The header fields by which a reader unsubscribes."""

from pykka_smtp import SendMail, SmtpActor

me, you = "news@example.com", "you@example.org"

# begin
fields = {"List-Unsubscribe": "<https://example.com/u?you>"}
# end

mail = SendMail(sender=me, recipients=you, body="News.", headers=fields)
print(SmtpActor.start("localhost").ask(mail))
