"""A photograph gallery in Django that takes its uploads with uploadmill."""
