"""A newsletter: personal emails with HTML, an image, an attachment, and a way to unsubscribe."""

from pykka_smtp import FROM_HTML, Attachment, Mailer, Template, Unsubscribe

me, readers = "news@example.com", ["her@example.org", "him@example.net"]
images = {"logo": Attachment(b"\x89PNG\r\n\x1a\n", name="logo.png")}
paper = Attachment(b"%PDF-1.7", name="paper.pdf")
html = '<img src="cid:logo"><p>Hello {{ you }}!</p>'
mailer = Mailer.start("localhost")

# begin
news = Template(subject="News", body=FROM_HTML, html=html, inline=images, attachments=[paper])
for you in readers:
    leave = Unsubscribe(url=f"https://example.com/u?{you}")
    mailer.tell(news.mail(sender=me, recipients=you, you=you, unsubscribe=leave))
# end

mailer.stop()
