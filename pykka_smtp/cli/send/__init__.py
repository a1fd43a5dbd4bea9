"""``pykka-smtp send``: its checks and its work. Never the form of what it reads or says."""
