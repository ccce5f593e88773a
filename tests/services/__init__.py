"""Starters of the servers that tests and benchmarks use, one file per server."""
