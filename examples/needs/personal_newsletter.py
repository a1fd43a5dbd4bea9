"""A newsletter: personal emails with HTML, an image, an attachment, and a way to unsubscribe."""

from pykka_smtp import Attachment, Mailer, SendMail, Unsubscribe

me, readers = "news@example.com", ["her@example.org", "him@example.net"]
images = {"logo": Attachment(b"\x89PNG\r\n\x1a\n", name="logo.png")}
paper = Attachment(b"%PDF-1.7", name="paper.pdf")
html = '<img src="cid:logo"><p>Hello {}!</p>'
mailer = Mailer.start("localhost")

# begin
for you in readers:
    page, leave = html.format(you), Unsubscribe(url=f"https://example.com/u?{you}")
    mail = SendMail(
        sender=me, recipients=you, html=page, inline=images, attachments=[paper], unsubscribe=leave
    )
    mailer.tell(mail)
# end

mailer.stop()
