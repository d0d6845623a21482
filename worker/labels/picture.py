"""Lines of text as black and white pictures, for what cannot be sent as text."""

from PIL import Image, ImageDraw

from worker.labels.fonts import Fonts
from worker.labels.page import Text
from worker.orders.value import value


@value
class Picture:
    """A line drawn; its upper left corner is `left`, `top` from where its baseline begins. Ink is
    1 in the image.
    """

    image: Image.Image
    left: int
    top: int


def picture(text: Text, fonts: Fonts, *, scale: int = 1) -> Picture | None:
    """The line with `scale` pixels a dot; None if nothing of it shows."""
    font = fonts.face(text.text, bold=text.bold).at(text.size * scale)
    left, top, right, bottom = map(round, font.getbbox(text.text, anchor="ls"))
    if right <= left or bottom <= top:
        return None
    image = Image.new("1", (right - left, bottom - top))
    drawing = ImageDraw.Draw(image)
    drawing.fontmode = "1"
    drawing.text((-left, -top), text.text, fill=1, font=font, anchor="ls")
    return Picture(image, left, top)
