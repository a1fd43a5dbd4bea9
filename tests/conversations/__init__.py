"""Conversations as text, and what plays them: the dialog, an in-memory transport, a real socket.

One text, three levels: what holds for the protocol without I/O must hold for the whole program.
"""
