"""For tests that are not about permissions."""

from __future__ import annotations

from endpoint.callcontrol.permissions import Rules, Supervision

EVERYBODY = Rules((Supervision("*", ("*",)),), (("*",),))
"""Lets every device do everything."""
