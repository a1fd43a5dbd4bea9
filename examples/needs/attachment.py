"""A file attached."""

from pathlib import Path

from pykka_smtp import SendMail, SmtpActor

me, you = "me@example.com", "you@example.org"

# begin
files = [Path(__file__)]
# end

mail = SendMail(sender=me, recipients=you, body="See below.", attachments=files)
print(SmtpActor.start("localhost").ask(mail))
