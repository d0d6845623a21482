"""What browsers load beside pages: its address follows from its content, so it is kept for ever."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from worker.web.edge import EXTRA_HEADERS
from worker.web.problems import Problem

router = APIRouter()

_HASH: Final = re.compile(r"\.[0-9a-f]{16}(?=\.[a-z]+$)")
_HERE: Final = Path(__file__).parent
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@router.get("/static/{name}")
async def static(name: str, request: Request) -> Response:
    """A file of `static/` or `vendor/`."""
    found = _files().get(name)
    if found is None:
        raise Problem("not-found", "there is no such file")
    request.scope[EXTRA_HEADERS]["Cache-Control"] = "public, max-age=31536000, immutable"
    content, media_type = found
    return Response(content, media_type=media_type)


def address(name: str) -> str:
    """Where a file is, by its own name."""
    return f"/static/{_hashed_names()[name]}"


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """Content and type by name with hash."""
    return {
        f"{path.stem}.{hashlib.sha256(content).hexdigest()[:16]}{path.suffix}": (
            content,
            _TYPES[path.suffix],
        )
        for folder in ("static", "vendor")
        for path in (_HERE / folder).iterdir()
        if path.suffix in _TYPES
        for content in [path.read_bytes()]
    }


@cache
def _hashed_names() -> dict[str, str]:
    """Names with hash by those without."""
    return {_HASH.sub("", name): name for name in _files()}
