"""A newsletter: personal emails with HTML, an image, an attachment, and a way to unsubscribe."""

from pykka_smtp import Attachment, Mailer, SendMail, Unsubscribe

readers = ["her@example.org", "him@example.net"]
logo = Attachment(b"\x89PNG\r\n\x1a\n", name="logo.png")
paper = Attachment(b"%PDF-1.7", name="paper.pdf")
html = '<img src="cid:logo"><p>Hello {}!</p>'
mailer = Mailer.start("localhost")

# begin
for you in readers:
    page, leave = html.format(you), Unsubscribe(url=f"https://example.com/u?{you}")
    parts = {"html": page, "inline": {"logo": logo}, "attachments": [paper], "unsubscribe": leave}
    mailer.tell(SendMail(sender="news@example.com", recipients=you, body="Hello!", **parts))
# end

mailer.stop()
