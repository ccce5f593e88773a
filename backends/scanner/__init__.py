"""The virus scanner: a verdict is clean, infected, or not scanned, and never a guess."""
