"""The example site, on which readers register.

Each registration publishes exactly one message, which is never lost.
"""
