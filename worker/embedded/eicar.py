"""The EICAR test string, which every scanner calls infected, put together when it is needed.

No file of ours may contain it: scanners would quarantine the source tree.
"""

from __future__ import annotations

#: Two halves that no scanner knows; from https://www.eicar.org/download-anti-malware-testfile/.
_HALVES = (rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", b"-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*")


def eicar() -> bytes:
    """The 68 bytes of the test file."""
    return b"".join(_HALVES)
