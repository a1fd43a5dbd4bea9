"""Outlets: what takes emails instead of a server, and the session with one, within the process.

Never a socket, and never a shell.
"""
