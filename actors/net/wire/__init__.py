"""One connection from the first address to its end: each file adds to the one before.

Never what a reply means.
"""
