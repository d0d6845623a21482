"""Whether the schema and this version of the program fit; without Alembic, which is slow to import.

A new version is rolled out behind its migration, so for a while old programs work with a new
schema. Migrations expand: they add what old programs need not know. One that takes something away
raises the floor, the oldest version that can work with it, in the comment on Alembic's table; never
above the version that is rolled out before it.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

MIGRATIONS: Final = Path(__file__).with_name("migrations") / "versions"

STATE: Final = """
-- state: the schema's version, and the oldest version of the program that can work with it
select version_num, obj_description('alembic_version'::regclass, 'pg_class') from alembic_version
"""


@dataclass(frozen=True)
class Fit:
    """Versions are names of migrations: of the schema that was found, None before the first; and of
    the oldest program that can work with that, None where it does not say so.
    """

    found: str | None
    floor: str | None
    wanted: str

    @property
    def is_old(self) -> bool:
        """Whether the schema lacks what this version needs."""
        return self.found is None or self.found < self.wanted

    @property
    def advice(self) -> str | None:
        """What to do; None if they fit."""
        if self.is_old:
            return "run `fulfillment migrate`"
        if self.found != self.wanted and (self.floor is None or self.wanted < self.floor):
            return f"install a version that knows {self.floor or self.found}"
        return None

    def __str__(self) -> str:
        return f"at {self.found or 'nothing'}, this version needs {self.wanted}"


def of(row: tuple[str, str | None] | None) -> Fit:
    """What the row of `STATE` means; None is that there is no such table."""
    found, floor = row or (None, None)
    return Fit(found, floor, newest())


@cache
def newest() -> str:
    """The schema that this version was written for."""
    return max(path.stem for path in MIGRATIONS.glob("[0-9]*.py")).partition("_")[0]
