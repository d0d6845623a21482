"""The files of `deploy/`, as those read them who are to run them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.blocks import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"


def documents(path: Path) -> list[Any]:
    """The documents of a YAML file; one that is empty is an error in ours."""
    return list(yaml.safe_load_all(path.read_text()))


def texts() -> Iterator[Path]:
    """Every file below `deploy/` that is not code."""
    return (path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix != ".mjs")


def values(document: Any) -> Iterator[tuple[str, str]]:
    """Every text in a document, with the name it stands under."""
    match document:
        case dict():
            for name, value in document.items():
                if isinstance(value, str):
                    yield name, value
                yield from values(value)
        case list():
            for value in document:
                yield from values(value)
