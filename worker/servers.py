"""Where the servers are: by URL, or the embedded pair when a URL is not set."""

from dataclasses import dataclass, field
from functools import cache

from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Servers:
    """URLs of PostgreSQL and Redis; they hold passwords, so their repr is empty."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    is_embedded: bool = False


@cache
def servers(settings: Settings) -> Servers:
    """The servers of this process; starts the embedded pair where a URL is not set.

    Raises:
      worker.embedded.EmbeddedServerFailed: The embedded pair cannot run here.
    """
    database_url, redis_url = settings.database_url, settings.redis_url
    if database_url and redis_url:
        return Servers(database_url.get_secret_value(), redis_url.get_secret_value())
    from worker.embedded.keeper import use  # noqa: PLC0415  # not needed where URLs are set

    pair = use(settings.state_dir)
    return Servers(
        database_url.get_secret_value() if database_url else pair.database_url,
        redis_url.get_secret_value() if redis_url else pair.redis_url,
        is_embedded=True,
    )


def keep_up(settings: Settings) -> None:
    """Start the embedded pair again, at the same URLs, if its keeper was killed.

    Raises:
      worker.embedded.EmbeddedServerFailed: The embedded pair cannot run here any more.
    """
    if servers(settings).is_embedded:
        from worker.embedded.keeper import use  # noqa: PLC0415  # not needed where URLs are set

        use(settings.state_dir).close()
