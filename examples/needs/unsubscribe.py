"""The header fields by which a reader unsubscribes with one click."""

from pykka_smtp import SendMail, SmtpActor, Unsubscribe

me, you = "news@example.com", "you@example.org"

# begin
leave = Unsubscribe(url="https://example.com/u?you", mailto="leave-you@example.com")
# end

mail = SendMail(sender=me, recipients=you, body="News.", unsubscribe=leave)
print(SmtpActor.start("localhost").ask(mail))
