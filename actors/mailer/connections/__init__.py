"""Open connections, the relays they lead to, and the actor that borrows one.

Never which email goes next.
"""
