"""Requests to the web pages that no browser sends for its user: each gets an answer in words, none changes anything."""

import base64
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from urllib.parse import urlencode

import pytest

from form import Form
from router import Router
from waiting import until
from website import FORM_TYPE, LOGIN

SET = "/module/mqtt_broker/set.cgi"
PAGES = ["index", "set", "status", "slog"]
SECRET = "hunter2 hunter2"


@pytest.fixture(scope="module")
def router(host_package):
    with Router(host_package) as router:
        router.enable(mqtt_authentication="password", mqtt_client_name="house", mqtt_client_secret=SECRET)
        yield router


@pytest.fixture(autouse=True)
def nothing_changes(router):
    """Neither the stored settings, nor what lies beside them, nor the processes."""
    def state():
        file = router.settings_file
        return file.read_bytes(), file.stat(), set(file.parent.iterdir()), router.supervisor(), router.worker()
    before = state()
    yield
    assert state() == before
    assert "panicked" not in router.log()


@pytest.fixture
def token(router):
    return router.form().value("token")


def in_words(answer, *statuses):
    """A page that says what is wrong: never the web server's own failure, which is what a crash looks like."""
    assert answer.status in statuses, (answer.status, answer.body[:500])
    page = Form(answer.text)
    assert page.boxes == ["failure"], answer.text
    assert answer.status not in (200, 400, 403) or "Nothing was changed" in answer.text
    assert answer.fields["Cache-Control"] == "no-store"
    return page


def post(router, body, kind=FORM_TYPE, page=SET, **fields):
    return router.ask("POST", page, body, {"Content-Type": kind} | fields)


def fields(token, **changes):
    return urlencode({"token": token, "mqtt_port": "4444", "button": "Apply"} | changes)


# --- the token

@pytest.mark.parametrize("given", ["", "0" * 32, "x", "f" * 31, "f" * 33, "%00" * 32, "ä" * 16])
def test_a_wrong_token(router, given):
    body = f"token={given}&mqtt_port=4444"
    in_words(post(router, body.encode()), 400, 403)


def test_no_token(router):
    in_words(post(router, "mqtt_port=4444"), 403)
    in_words(post(router, ""), 403)


def test_the_right_token_in_the_wrong_place(router, token):
    in_words(post(router, "mqtt_port=4444", page=f"{SET}?token={token}"), 403)
    in_words(post(router, f"Token={token}&mqtt_port=4444"), 400, 403)
    in_words(post(router, "mqtt_port=4444", Cookie=f"token={token}"), 403)


def test_a_wrong_token_keeps_what_was_typed_for_our_own_page(router):
    """The router was restarted while somebody typed: that page is ours, and nothing typed there is lost."""
    origin = router.origin
    answer = post(router, f"token={'0' * 32}&mqtt_port=4444", Origin=origin)
    assert in_words(answer, 403).value("mqtt_port") == "4444"
    # Another site's form is not even shown.
    answer = post(router, f"token={'0' * 32}&mqtt_port=4444")
    assert "4444" not in answer.text


# --- where it comes from

@pytest.mark.parametrize("name", ["Origin", "Referer"])
@pytest.mark.parametrize("value", [
    "http://evil.example", "http://evil.example/module/mqtt_broker/index.cgi", "null", "http://127.0.0.1",
    "http://127.0.0.1:1", "https://HOST.evil.example", "http://evil.example/HOST", "http://evil.example?HOST",
    "http://HOST@evil.example", "http://evil.example#HOST", "ftp://HOST", "HOST", "http://", "file:///etc/passwd",
    "http://evil.example\\@HOST",
])
def test_another_site(router, token, name, value):
    value = value.replace("HOST", f"{router.address[0]}:{router.address[1]}")
    in_words(post(router, fields(token), **{name: value}), 403)


def test_one_of_the_two_is_enough_to_refuse(router, token):
    own = router.origin
    in_words(post(router, fields(token), Origin=own, Referer="http://evil.example/"), 403)
    in_words(post(router, fields(token), Origin="null", Referer=f"{own}/module/mqtt_broker/index.cgi"), 403)


# --- GET never changes anything

@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_changes_nothing(router, token, page, method):
    query = urlencode({"token": token, "mqtt_port": "4444", "mqtt_enabled_shown": "1", "button": "Apply"})
    for path in (f"/module/mqtt_broker/{page}.cgi?{query}", f"/module/mqtt_broker/{page}.cgi/{query}"):
        answer = router.ask(method, path)
        assert answer.status in (200, 303, 405), answer.status
        assert "4444" not in answer.text


def test_the_praise_is_for_an_apply_alone(router):
    """Somebody may send a link that praises; it must not say more than that."""
    page = router.get("/module/mqtt_broker/index.cgi?applied=<script>alert(1)</script>")
    assert "alert(1)" not in page


@pytest.mark.parametrize("page", ["index", "status", "slog"])
def test_posting_to_a_page_that_takes_no_form(router, token, page):
    answer = post(router, fields(token), page=f"/module/mqtt_broker/{page}.cgi")
    assert answer.status == 405 and answer.fields["Allow"] == "GET, HEAD"


def test_set_is_for_posting(router):
    assert router.ask("GET", SET).status in (303, 405)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "post", "get", "X" * 1000])
def test_other_methods(router, token, method):
    answer = router.ask(method, SET, fields(token), {"Content-Type": FORM_TYPE})
    assert 400 <= answer.status < 502 and answer.status != 500, answer.status


# --- the shape of the form

@pytest.mark.parametrize("kind", [
    "", "text/plain", "multipart/form-data; boundary=x", "application/json", "application/x-www-form-urlencodedx",
    "application/x-www-form-urlencoded; charset=iso-8859-1", "application/x-www-form-urlencoded; charset=utf-16",
    "x" * 5000,
])
def test_other_content_types(router, token, kind):
    in_words(post(router, fields(token), kind), 415)


@pytest.mark.parametrize("kind", [
    FORM_TYPE, f"{FORM_TYPE}; charset=UTF-8", f"{FORM_TYPE};charset=\"utf-8\"", FORM_TYPE.upper()])
def test_what_browsers_send_is_understood(router, token, kind):
    """Understood, and refused for the port alone."""
    page = in_words(post(router, fields(token, mqtt_port="x"), kind), 200)
    assert "mqtt_port" in page.errors


@pytest.mark.parametrize("extra", [
    "mqtt_port=4445", "token=x", "mqtt_port", "mqtt%5fport=4444", "mqtt_port=4444&mqtt_port=4444"])
def test_fields_twice(router, token, extra):
    in_words(post(router, f"{fields(token)}&{extra}"), 400)


@pytest.mark.parametrize("extra", [
    "PORT=1", "MOD_MQTT_BROKER_PORT=1", "mqtt_max_clients=1", "mqtt_bind=127.0.0.1", "x=1", "=1", "mqtt_port%00=1",
    "MQTT_PORT=1", "mqtt_port =1", "%F0%9F%98%80=1", "<script>=1", "mqtt_client_secret_clear_x=on"])
def test_fields_that_the_form_does_not_have(router, token, extra):
    answer = post(router, f"{fields(token)}&{extra}".encode())
    in_words(answer, 400)
    assert "<script>=" not in answer.text


@pytest.mark.parametrize("value", [b"%", b"%4", b"%zz", b"%0g", b"a%", b"%u0041", b"\xff", b"%ff", b"%C0%80",
                                   b"%ED%A0%80", b"%F5%80%80%80", b"a%00b", b"\0", b"%E2%82"])
def test_broken_text(router, token, value):
    for name in (b"mqtt_client_name=", b"mqtt_client_secret=", b"mqtt_port=", b""):
        in_words(post(router, f"token={token}&".encode() + name + value), 400)


@pytest.mark.parametrize("body", [b"&", b"=", b"&&&===&", b"\r\n", b"{}", b"<xml/>", b"%", b"a" * 10_000,
                                  b"&" * 100_000, b"=&" * 100_000, b"a=&" * 100_000, bytes(range(256)) * 100])
def test_bodies_that_are_no_form(router, body):
    in_words(post(router, body), 400, 403)


def test_a_great_many_fields(router, token):
    body = fields(token) + "".join(f"&x{number}=1" for number in range(100_000))
    in_words(post(router, body), 400, 413)


@pytest.mark.parametrize("size", [(1 << 20) + 1, 3 << 20, 7 << 20])
def test_too_large(router, token, size):
    body = fields(token) + "&mqtt_certificate="
    in_words(post(router, body + "x" * (size - len(body))), 413)


def raw(router, text, body=b"", end=True):
    """A request byte by byte; the status of the answer."""
    login = base64.b64encode(":".join(LOGIN).encode()).decode()
    head = text.replace("\n", "\r\n") + f"Host: x\r\nAuthorization: Basic {login}\r\n\r\n"
    with socket.create_connection(router.address, timeout=60) as connection:
        connection.sendall(head.encode() + body)
        if end:
            connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    found = re.match(rb"HTTP/1\.1 (\d+) ", answer)
    return int(found[1]) if found else None


@pytest.mark.parametrize("length, body", [
    ("99999999999999999999", b""), ("-1", b"x"), ("+5", b"x=1&y"), ("0x10", b"x"), ("1e3", b"x"), ("", b"x"),
    ("5 5", b"x"), ("1048577", b"x")])
def test_lengths(router, token, length, body):
    status = raw(router, f"POST {SET} HTTP/1.1\nContent-Type: {FORM_TYPE}\nContent-Length: {length}\n", body)
    assert status is None or 400 <= status < 500, status


def test_a_body_that_ends_early(router, token):
    body = fields(token).encode()
    status = raw(router, f"POST {SET} HTTP/1.1\nContent-Type: {FORM_TYPE}\nContent-Length: {len(body) + 100}\n", body)
    assert status is None or 400 <= status < 500, status


def test_a_body_in_chunks(router, token):
    body = fields(token).encode()
    status = raw(router, f"POST {SET} HTTP/1.1\nContent-Type: {FORM_TYPE}\nTransfer-Encoding: chunked\n",
                 b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    assert status in (400, 411, 501)


# --- values

HOSTILE = ["'", '"', "\\", "$(reboot)", "`reboot`", "'; reboot; '", "<script>alert(1)</script>", "</textarea>",
           "\" onfocus=alert(1) x=\"", "a\nb", "a\r\nb", "\x01", "\x1b[2J", "\x7f", "\x85", "‮", "😀", "é" * 300,
           "%n%s", "../../etc/passwd", "x" * 70_000, " ", "\t"]


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_hostile_values_stand_in_the_answer_as_they_were(router, token, value):
    """Each in every field; the port is wrong in any case, so nothing is stored."""
    names = [name for name in router.form().names() if name.startswith("mqtt_") and not name.endswith("_shown")
             and not name.endswith("_clear")]
    body = {"token": token, "mqtt_enabled_shown": "1", "button": "Apply"} | {name: value for name in names}
    answer = post(router, urlencode(body))
    page = in_words(answer, 200)
    assert "mqtt_port" in page.errors
    assert page.value("mqtt_port") == value
    assert page.value("mqtt_client_name") == value
    assert page.value("mqtt_ca_certificates").replace("\r\n", "\n") == value.replace("\r\n", "\n")
    assert page.scripts == ["script.js"]


def test_what_is_stored_is_not_shown(router):
    """No page holds the password, whatever is asked."""
    for page in PAGES:
        for method in ("GET", "HEAD"):
            assert SECRET not in router.ask(method, f"/module/mqtt_broker/{page}.cgi").text
    answer = post(router, fields(router.form().value("token"), mqtt_port="x"))
    assert SECRET not in unescape(answer.text)


# --- the way there

@pytest.mark.parametrize("login", [None, ("root", "wrong"), ("admin", "root"), ("", ""), ("root", "")])
def test_without_the_routers_login(router, token, login):
    for page in PAGES:
        assert router.ask("GET", f"/module/mqtt_broker/{page}.cgi", login=login).status == 401
    answer = router.ask("POST", SET, fields(token), {"Content-Type": FORM_TYPE}, login=login)
    assert answer.status == 401
    assert router.ask("GET", "/module/mqtt_broker/style.css", login=login).status == 401


@pytest.mark.parametrize("path", [
    "/module/mqtt_broker/.htpasswd", "/module/mqtt_broker/../etc/settings", "/module/mqtt_broker/%2e%2e/etc/settings",
    "/module/mqtt_broker/..%2fetc%2fsettings", "/module/mqtt_broker/etc/settings", "/module/mqtt_broker/bin/cgi",
    "/module/mqtt_broker/other.cgi", "/module/mqtt_broker/index.cgi%00.css", "/module/mqtt_broker/settings"])
def test_what_is_no_page(router, path):
    answer = router.ask("GET", path)
    assert answer.status in (400, 404), answer.status
    assert SECRET not in answer.text


@pytest.mark.parametrize("page", ["index", "status", "slog"])
def test_headers(router, page):
    answer = router.ask("GET", f"/module/mqtt_broker/{page}.cgi")
    assert answer.fields["Cache-Control"] == "no-store"
    assert answer.fields["Referrer-Policy"] == "same-origin"
    policy = answer.fields["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.fields["Content-Type"].lower() == "text/html; charset=utf-8"


def test_headers_with_rubbish(router):
    for name in ("Cookie", "User-Agent", "Accept-Language", "X-Forwarded-For", "Referer", "Origin"):
        for value in ("\xff\xfe", "x" * 8000, "() { :; }; touch /tmp/x", "%s%n"):
            answer = router.ask("GET", "/module/mqtt_broker/index.cgi", fields={name: value})
            assert answer.status == 200, (name, value, answer.status)


def test_many_at_once(router, token):
    """Twenty at a time: all answered, none applied, for each has something wrong."""
    def one(number):
        return post(router, fields(token if number % 2 else "0" * 32, mqtt_port="x")).status
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(one, range(100))) == {200, 403}


def test_a_hostile_log_is_shown_as_text(router):
    """Whatever was logged, the log page shows it and nothing happens."""
    for text in (b"<27>evil: <script>alert(1)</script>", b"<13>\xff\xfe\x00\x1b[2J</pre><b>", b"<13>" + b"x" * 5000):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
            log.connect(str(router.root / "dev/log"))
            log.send(text)
    until(lambda: "x" * 900 in router.log(), "all of it is in the log")
    page = router.get("/module/mqtt_broker/slog.cgi?all=1")
    assert "&lt;script&gt;alert(1)" in page
    assert Form(page).scripts == ["script.js"] and "<b>" not in page
