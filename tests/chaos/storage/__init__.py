"""Breaks the primary store under load, in S3's own manner, and looks where everything is."""
