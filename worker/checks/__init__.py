"""What ``uploadmill check`` looks at, one file per system."""
