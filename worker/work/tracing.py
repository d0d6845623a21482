"""To which traces work belongs. The work knows no tracing library; see `worker/tracing`."""

from contextlib import AbstractContextManager, nullcontext
from typing import Final, Literal

from worker.work.drain import Route

_NOTHING: Final = nullcontext()


class Tracing:
    """Traces nothing; a subclass does. Nothing of it may keep work from being done."""

    def accepting(
        self, door: Literal["http", "broker"], parent: str | None
    ) -> AbstractContextManager[str | None]:
        """Commands are accepted within. `parent` is the producer's `traceparent`; what it yields is
        kept with each command, None where it is not traced.
        """
        del door, parent
        return _NOTHING

    def traced(self, route: Route) -> Route:
        """The route, telling of what it carries out."""
        return route

    def close(self) -> None:
        """Send what is still to be sent, for a few seconds at most."""


UNTRACED: Final = Tracing()
