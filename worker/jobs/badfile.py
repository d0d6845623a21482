"""What a file is refused for as a whole."""


class BadFile(ValueError):
    """The file is none of shipments; nothing was sent."""
