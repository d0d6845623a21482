"""Connections of the door at its end: closed so that no request runs into one that is closing."""

from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

LINGER_S: Final = 6
"""Longer than clients such as httpx keep a connection that they do not use, which is 5 s."""


class Connection(H11Protocol):
    """uvicorn's would close at once what waits for its next request, which may be on its way."""

    def shutdown(self) -> None:
        """Go on until the next response, which says that it is the last one (`Edge`); what is not
        used is closed once it has been so for longer than clients keep it.
        """
        armed, keep_alive_s = self.timeout_keep_alive_task, self.timeout_keep_alive
        self.timeout_keep_alive = LINGER_S
        if self.cycle is None or self.cycle.response_complete:
            now = self.loop.time()
            since = armed.when() - keep_alive_s if armed else now
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                max(0, since + LINGER_S - now), self.timeout_keep_alive_handler
            )
