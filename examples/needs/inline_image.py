"""An image within the HTML."""

from pathlib import Path
from tempfile import mkdtemp

from pykka_smtp import SendMail, SmtpActor

me, you = "me@example.com", "you@example.org"
logo = Path(mkdtemp(), "logo.png")
logo.write_bytes(b"\x89PNG\r\n\x1a\n")

# begin
images = {"logo": logo}
# end

mail = SendMail(sender=me, recipients=you, html='<img src="cid:logo">', inline=images)
print(SmtpActor.start("localhost").ask(mail))
