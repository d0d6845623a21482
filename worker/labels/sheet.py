"""Many files as one PDF, for one run of the printer."""

import io
from collections.abc import Iterable

from pypdf import PdfWriter


def sheet(files: Iterable[bytes]) -> bytes:
    """The pages of the PDF files, in this order; a font that several embed is kept once."""
    with PdfWriter() as writer, io.BytesIO() as buffer:
        for content in files:
            writer.append(io.BytesIO(content), import_outline=False)
        writer.compress_identical_objects()
        writer.metadata = None  # the library's own name and version
        writer.write(buffer)
        return buffer.getvalue()
