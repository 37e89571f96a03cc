"""The form as a browser without JavaScript understands it."""

from html.parser import HTMLParser


class Form(HTMLParser):
    """The controls of a page, what they would send, and what is said beside them."""

    def __init__(self, html):
        super().__init__()
        self.controls = []
        self.errors = {}
        self.boxes = []
        # Everything that would run: files of scripts, their text, and attributes that hold script.
        self.scripts = []
        self._select = self._area = self._error = None
        self._depth = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.scripts += [name for name in attributes if name.startswith("on")]
        if tag == "script":
            self.scripts.append(attributes.get("src", "text"))
        elif tag == "input":
            kind = attributes.get("type", "text")
            value = attributes.get("value", "on" if kind == "checkbox" else "")
            sent = kind not in ("checkbox", "radio") or "checked" in attributes
            self._add(attributes, kind, value, sent)
        elif tag == "select":
            self._select = self._add(attributes, "select", None, True)
        elif tag == "option" and self._select and (self._select["value"] is None or "selected" in attributes):
            self._select["value"] = attributes.get("value")
        elif tag == "textarea":
            self._area = self._add(attributes, "textarea", "", True)
        elif tag == "button" and attributes.get("type", "submit") == "submit":
            self._add(attributes, "submit", attributes.get("value", ""), True)
        elif tag == "div" and attributes.get("id", "").endswith("_error"):
            self._error = attributes["id"].removesuffix("_error")
            self.errors[self._error] = ""
        elif tag == "section" and "result" in attributes.get("class", "").split():
            self.boxes.append(attributes["class"].split()[-1])

    def handle_endtag(self, tag):
        if tag == "select":
            self._select = None
        elif tag == "textarea":
            # The first line end belongs to the markup.
            self._area["value"] = self._area["value"].removeprefix("\n")
            self._area = None
        elif tag == "div":
            self._error = None

    def handle_data(self, text):
        if self._area:
            self._area["value"] += text
        elif self._error:
            self.errors[self._error] += text.strip()

    def _add(self, attributes, kind, value, sent):
        control = {"name": attributes.get("name"), "kind": kind, "value": value, "sent": sent, "attributes": attributes}
        self.controls.append(control)
        return control

    def control(self, name):
        found = [control for control in self.controls if control["name"] == name]
        assert len(found) == 1, f"the page has {len(found)} controls named {name}"
        return found[0]

    def value(self, name):
        """The value of a control; for a box, whether it is ticked."""
        control = self.control(name)
        return control["sent"] if control["kind"] == "checkbox" else control["value"]

    def first(self, name):
        """The value of the first of several controls: each form of a page has its own token."""
        return next(control["value"] for control in self.controls if control["name"] == name)

    def names(self):
        return [control["name"] for control in self.controls if control["name"]]

    def sent(self, changes):
        """Names and values as they are sent; a change to None is an empty box."""
        for name in changes:
            self.control(name)
        pairs = []
        for control in self.controls:
            name = control["name"]
            if not name or (not control["sent"] and name not in changes):
                continue
            value = changes.get(name, control["value"])
            if value is not None:
                # Browsers send line ends as CR LF.
                pairs.append((name, str(value).replace("\r\n", "\n").replace("\n", "\r\n")))
        return pairs
