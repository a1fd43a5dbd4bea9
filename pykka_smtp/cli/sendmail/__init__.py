"""``pykka-smtp sendmail``: what programs expect of /usr/sbin/sendmail. Never a queue."""
