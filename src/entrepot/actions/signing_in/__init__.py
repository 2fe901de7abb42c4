"""Signing in. `credentials.py` is the front door; which kinds of providers there are is in `identity/providers.py`."""
