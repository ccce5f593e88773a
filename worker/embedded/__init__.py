"""Servers that uploadmill starts for itself: on loopback, in a folder of their own, for ``dev``."""
