"""Kills, stalls and loses things while uploads run, and counts what went wrong."""
