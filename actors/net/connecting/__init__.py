"""The way to an open socket: names, addresses, routes and proxies.

Never an octet of SMTP, or of TLS.
"""
