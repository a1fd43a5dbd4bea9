"""What a program may say, checked, and made into a target.

Never anything that waits or connects.
"""
