"""The SMTP protocol without I/O: replies, commands, addresses, mail data, and the dialog.

It takes received bytes and events, and returns bytes to send and verdicts. Nothing here opens a
socket, reads a clock, starts a thread or writes a log; ids, dates and host names are passed in.
"""

if __name__ == "smtp":
    raise ImportError("import pykka_smtp.smtp, not the bare folder name")
