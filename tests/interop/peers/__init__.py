"""Drivers for SIP peers that we did not write.

Each is an async context manager that owns its process. They know nothing of our product: tones are
made and found by `sound`, with code of their own, so that a mistake in our audio can't hide itself.
"""
