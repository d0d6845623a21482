"""The golden files: what was once said on the wire, for ever readable. Add files, never change one.

golden/v1/commands/ship.full.json   a body as `sent`, its canonical body, its fingerprint
golden/v1/outcomes/rejected.json    outcomes as stored
golden/v1/schemas/ship.1.json       the schema; after an additive change also ship.2.json
golden/manifest.sha256              the SHA-256 of each, as `sha256sum` writes it
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from messages import schema

FOLDER = Path(__file__).parent / "golden"


def names(kind: str, pattern: str = "v*") -> list[str]:
    """The files of `commands`, `outcomes` or `schemas`, for the ids of tests."""
    return sorted(str(path.relative_to(FOLDER)) for path in FOLDER.glob(f"{pattern}/{kind}/*.json"))


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_bytes())


def snapshots(version: int, name: str) -> list[Any]:
    """The schemas that a command or the outcome has had, oldest first."""
    paths = (FOLDER / f"v{version}" / "schemas").glob(f"{name}.*.json")
    return [
        json.loads(path.read_bytes())
        for path in sorted(paths, key=lambda path: int(path.stem.split(".")[1]))
    ]


@cache
def validator(name: str | None = None) -> Draft202012Validator:
    """Judges by the schema of today."""
    return Draft202012Validator(schema.schema(name))
