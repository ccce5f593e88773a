"""How requests to Azure leave: what is large goes by pieces."""

from __future__ import annotations

from typing import Any

from azure.core.pipeline.transport import RequestsTransport

from uploadmill.backends.storage.body import PIECE, Body


class PieceTransport(RequestsTransport):  # type: ignore[misc] # the SDK imports it lazily
    """Gives each piece of a body the whole time-out.

    As one, a block would have to be gone in the time that a connection may take to be made.
    """

    def send(self, request: Any, **options: Any) -> Any:
        """Send *request*; see the base class."""
        if isinstance(request.data, bytes) and len(request.data) > PIECE:
            request.data = Body(request.data)
        return super().send(request, **options)
