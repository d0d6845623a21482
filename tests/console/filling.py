"""Forms of pages, filled in as a browser fills them in."""

from collections import defaultdict
from html.parser import HTMLParser


class _Fields(HTMLParser):
    """The fields of the page's form that acts on an order."""

    def __init__(self):
        super().__init__()
        self.action = None
        self.fields = defaultdict(list)
        self._is_inside = False
        self._select = None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "form":
            self._is_inside = given.get("action", "").startswith("/orders/")
            self.action = given["action"] if self._is_inside else self.action
        elif not self._is_inside:
            return
        elif tag == "input" and (
            given.get("type") not in {"checkbox", "radio"} or "checked" in given
        ):
            self.fields[given["name"]].append(given.get("value", ""))
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option" and "selected" in given:
            self.fields[self._select] = [given["value"]]

    def handle_endtag(self, tag):
        if tag == "form":
            self._is_inside = False


def form_of(answer, **changes):
    """Where the page's form goes, and what it holds; with changes, None takes a field away."""
    found = _Fields()
    found.feed(answer.text)
    assert found.action, answer.text
    fields = found.fields | changes
    return found.action, {name: value for name, value in fields.items() if value is not None}


def quantities(**by_line):
    """`quantities(A=2)`: the field's name and value."""
    return {f"quantity.{line_id}": str(n) for line_id, n in by_line.items()}


def go_on(client, path, **changes):
    """The page that asks whether to go on, from the form at the path."""
    action, fields = form_of(client.get(path), **changes)
    return client.post(action, data=fields)


def act(client, path, **changes):
    """From the form through that page; what sending it answers. Without a form, that page comes at
    once.
    """
    shown = client.get(path)
    action, fields = form_of(shown, **changes)
    if action.endswith("/preview"):
        shown = client.post(action, data=fields)
        assert shown.status_code == 200, shown.text
        action, fields = form_of(shown)
    return client.post(action, data=fields)
