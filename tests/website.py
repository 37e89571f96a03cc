"""The router's web pages, asked for as a browser without JavaScript does."""

import base64
from http.client import HTTPConnection
from urllib.parse import urlencode

from form import Form

LOGIN = ("root", "root")
FORM_TYPE = "application/x-www-form-urlencoded"


class Answer:
    """What the web server answered."""

    def __init__(self, response):
        self.status = response.status
        self.fields = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()


class Website:
    """A web server: the router's own pages and those of the app."""

    def __init__(self, address=None):
        self.address = address

    @property
    def origin(self):
        return f"http://{self.address[0]}:{self.address[1]}"

    def ask(self, method, path, body=None, fields=None, login=LOGIN):
        """One request, one answer. The path is taken as it is."""
        fields = dict(fields or {})
        if login:
            fields.setdefault("Authorization", "Basic " + base64.b64encode(":".join(login).encode()).decode())
        connection = HTTPConnection(*self.address, timeout=60)
        try:
            connection.request(method, path, body, fields)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path):
        answer = self.ask("GET", path)
        assert answer.status == 200, (path, answer.status, answer.text)
        return answer.text

    def page(self, name):
        return self.get(f"/module/mqtt_broker/{name}.cgi")

    def form(self):
        return Form(self.page("index"))

    def post(self, form, fields=None, **changes):
        """Sends the form as a browser would, with these controls changed; the answer, a redirect not followed."""
        body = urlencode(form.sent(changes))
        return self.ask("POST", "/module/mqtt_broker/set.cgi", body, {"Content-Type": FORM_TYPE} | (fields or {}))

    def apply(self, **changes):
        """Fills in the form, presses Apply and is content only with the green box."""
        answer = self.post(self.form(), **changes)
        assert answer.status == 303, (answer.status, Form(answer.text).errors)
        page = self.get("/module/mqtt_broker/" + answer.fields["Location"])
        assert "Configuration successfully updated." in page

    def upload(self, package, page=None):
        """Uploads a package on the Router Apps page; the answer."""
        token = Form(page or self.get("/module.cgi")).first("token")
        boundary = "----------1f0c9a7e5b3d"
        head = (f'--{boundary}\r\nContent-Disposition: form-data; name="token"\r\n\r\n{token}\r\n'
                f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="mqtt_broker.tgz"\r\n'
                "Content-Type: application/gzip\r\n\r\n")
        body = head.encode() + package + f"\r\n--{boundary}--\r\n".encode()
        return self.ask("POST", "/module.cgi", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    def delete(self, name="mqtt_broker"):
        token = Form(self.get("/module.cgi")).first("token")
        return self.ask("POST", "/module.cgi", urlencode({"token": token, "delete": name}), {"Content-Type": FORM_TYPE})
