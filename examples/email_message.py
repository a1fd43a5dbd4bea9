"""Send an `EmailMessage` of the standard library: here one with an attachment.

Run it as ``python examples/email_message.py [host [port]]``.
"""

import sys
from email.message import EmailMessage
from email.utils import format_datetime, localtime, make_msgid

from pykka_smtp import SendMail, SmtpActor

server = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 25

message = EmailMessage()
message["From"] = "My Name <me@example.com>"
message["To"] = "Your Name <you@example.org>"
message["Subject"] = "The figures"
message["Date"] = format_datetime(localtime())
message["Message-ID"] = make_msgid(domain="example.com")
message.set_content("Please find the figures attached.")
message.add_attachment(
    b"month,sold\nJanuary,12\nFebruary,9\n", maintype="text", subtype="csv", filename="figures.csv"
)

# A complete message goes out as it is. Whom it goes to, and who hears if it cannot be delivered,
# is said beside it: the header is for people, the envelope for servers.
outcome = SmtpActor.start(server, port).ask(
    SendMail(sender="me@example.com", recipients="you@example.org", message=message)
)
print(outcome)
