"""How requests to Azure leave: what is large goes by pieces, and nobody's are cut off."""

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

    def close(self) -> None:
        """Give back the connections; a call that other threads have begun opens one of its own.

        The base class refuses whatever is sent through it from now on.
        """
        if self.session is not None:
            self.session.close()
