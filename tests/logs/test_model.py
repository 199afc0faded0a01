"""What becomes of a line that a program prints, and of a request that it answers."""

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.contract.logs import DeploymentLogSeverity as Severity
from connectory.contract.logs import DeploymentLogType as Type
from connectory.logs.masking import MASK, Masker
from connectory.logs.model import LONGEST, Entry, line_entry, request_entry, shown

SERVICE = SimpleNamespace(deployment_id="d", application="service")
SECRET = 'a"secret/with\\ümläuts&more'
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nBAQEFAASCBKcwggSjAgEAAo\n-----END KEY-----\n"


def line(text: bytes | str, stream: str = "stdout", *secrets: str) -> Entry:
    raw = text if isinstance(text, bytes) else text.encode()
    masker = Masker(secrets) if secrets else None
    return line_entry(SERVICE, stream, raw, at=1_700_000_000_123_000, masker=masker)


def details(entry: Entry) -> Any:
    """As a client reads them."""
    return json.loads(msgspec.json.encode(shown(entry)))["details"]


def test_a_line_of_text_is_a_message():
    assert json.loads(msgspec.json.encode(shown(line("Listening on port: 8080\r")))) == {
        "type": "APPLICATION_TEXT",
        "deploymentId": "d",
        "applicationName": "service",
        "severity": "DEFAULT",
        "timestamp": "2023-11-14T22:13:20.123Z",
        "details": {"message": "Listening on port: 8080"},
    }


def test_a_json_object_is_kept_as_it_is():
    entry = line(' {"message": "hi", "n": [1, {"b": null}], "severity": "NOTICE"} ')

    assert entry.type is Type.APPLICATION_JSON
    assert entry.severity is Severity.NOTICE
    assert details(entry) == {"message": "hi", "n": [1, {"b": None}], "severity": "NOTICE"}


@pytest.mark.parametrize("text", ["[1, 2]", "12", '"text"', "null", "{", "{'a': 1}", "{}x", ""])
def test_other_json_and_what_looks_like_it_is_text(text: str):
    assert line(text).type is Type.APPLICATION_TEXT
    assert details(line(text)) == {"message": text}


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({"level": 10}, "DEBUG"),  # pino and bunyan
        ({"level": 20}, "DEBUG"),
        ({"level": 30}, "INFO"),
        ({"level": 35}, "INFO"),
        ({"level": 40}, "WARNING"),
        ({"level": 50}, "ERROR"),
        ({"level": 60}, "CRITICAL"),
        ({"level": "silly"}, "DEBUG"),  # winston, levels of npm
        ({"level": "http"}, "INFO"),
        ({"level": "warn"}, "WARNING"),
        ({"level": "\x1b[31merror\x1b[39m"}, "ERROR"),  # with its colours
        ({"level": "emerg"}, "EMERGENCY"),  # winston, levels of syslog
        ({"level": "crit"}, "CRITICAL"),
        ({"level": "fatal"}, "CRITICAL"),
        ({"severity": "ALERT"}, "ALERT"),  # Google
        ({"severity": "Warning"}, "WARNING"),
        ({"severity": 500}, "ERROR"),
        ({"severity": 900}, "EMERGENCY"),
        ({"severity": "INFO", "level": 50}, "INFO"),
        ({"severity": "whatever", "level": "error"}, "ERROR"),
        ({"level": True}, "DEFAULT"),
        ({"level": -1}, "DEFAULT"),
        ({"level": {"a": 1}}, "DEFAULT"),
        ({"level": "²"}, "DEFAULT"),
        ({}, "DEFAULT"),
    ],
)
def test_severities_are_understood_as_loggers_spell_them(fields: dict[str, Any], severity: str):
    assert line(json.dumps(fields)).severity == severity


def test_what_says_no_severity_is_an_error_where_it_came_by_stderr():
    assert line("Error: it crashed", "stderr").severity is Severity.ERROR
    assert line('{"message": "x"}', "stderr").severity is Severity.ERROR
    assert line('{"level": "info"}', "stderr").severity is Severity.INFO


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe bytes",
        b"a\0b",
        b'{"a":"\\u0000", "\\u0000": "\\ud800"}',
        b'{"a":"\\u0000", "\\u0000": 1}',
        b'{"a":"\xff"}',
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"a":' + b'{"b":' * 5_000 + b"1" + b"}" * 5_001,
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5_000 + b"}",
        b"x" * 10**6,
        "ü".encode() * 10**6,
        b'{"a":"' + b"x" * 10**6 + b'"}',
        b"\x1b[2J",
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_nothing_that_is_printed_is_a_fault(raw: bytes):
    for masker in ((), (SECRET,)):
        entry = line(raw, "stdout", *masker)

        assert "\0" not in entry.details
        assert len(entry.details) < 2 * LONGEST
        assert "\\u0000" not in entry.details or entry.type is Type.APPLICATION_TEXT
        entry.details.encode()
        assert details(entry)


@given(st.binary(max_size=200) | st.text().map(lambda text: json.dumps({"a": text}).encode()))
def test_any_bytes_become_an_entry(raw: bytes):
    entry = line(raw, "stdout", "secret", "1234")

    details(entry)
    assert "secret" not in entry.details


@pytest.mark.parametrize(
    "printed",
    [
        SECRET,
        f"the token is {SECRET}!",
        json.dumps({"token": SECRET}),
        json.dumps({"a": [{"b": f"Bearer {SECRET}"}]}, ensure_ascii=False),
        json.dumps({SECRET: 1}),
        json.dumps({"nested": json.dumps({"token": SECRET})}),
        "broken json {" + json.dumps({"token": SECRET}),
        json.dumps({"token": SECRET}).replace("/", "\\/"),
        '{"token": "' + "".join(f"\\u{ord(each):04x}" for each in SECRET) + '"}',
        "GET /?token=a%22secret%2Fwith%5C%C3%BCml%C3%A4uts%26more HTTP/1.1",
    ],
)
def test_a_secret_is_masked_however_it_is_spelled(printed: str):
    entry = line(printed, "stdout", SECRET, "other")

    assert "secret" not in entry.details
    assert MASK in entry.details
    details(entry)


def test_the_mask_does_not_tell_the_length():
    assert line("=short-one", "stdout", "short-one").details == f"={MASK}"
    assert line("=" + "x" * 500, "stdout", "x" * 500).details == f"={MASK}"


def test_a_secret_of_several_lines_is_masked_line_by_line():
    printed = [line(each, "stdout", KEY).details for each in KEY.splitlines()]

    assert printed == [MASK] * 4
    assert line(json.dumps({"key": KEY}), "stdout", KEY).details == f'{{"key":"{MASK}"}}'


def test_a_secret_that_is_a_number_is_masked_in_json():
    assert details(line('{"pin": 48151623, "ok": 1}', "stdout", "48151623")) == {
        "pin": MASK,
        "ok": 1,
    }


def test_short_values_and_switches_are_not_masked():
    assert line("a true abc", "stdout", "a", "abc", "true", "").details == "a true abc"


def test_a_secret_that_begins_with_another_is_masked_whole():
    assert line("secret-longer", "stdout", "secret", "secret-longer").details == MASK


def test_a_secret_at_the_cut_of_a_long_line_is_masked():
    entry = line("x" * (LONGEST - 3) + "secret-value", "stdout", "secret-value")

    assert "sec" not in entry.details


def exchange(**changed: Any) -> Any:
    fields = {
        "route": SERVICE,
        "method": "GET",
        "url": "http://service.example/a?token=s3cr3t-value",
        "status": 200,
        "user_agent": "curl/8 \ud800",
        "seconds": 0.012345,
        "request_bytes": 0,
        "response_bytes": 12,
        "correlation_id": "abc",
        "remote_ip": "192.0.2.1",
    }
    return SimpleNamespace(**fields | changed)


def test_a_request_is_kept_in_the_fields_of_google():
    entry = request_entry(exchange(), at=1, masker=Masker(["s3cr3t-value"]))

    assert entry.type is Type.HTTP_REQUEST
    assert entry.severity is Severity.INFO
    assert details(entry) == {
        "requestMethod": "GET",
        "requestUrl": f"http://service.example/a?token={MASK}",
        "status": 200,
        "userAgent": "curl/8 ?",
        "latency": "0.012345s",
        "remoteIp": "192.0.2.1",
        "requestSize": "0",
        "responseSize": "12",
        "correlationId": "abc",
    }


def test_failed_requests_are_graver():
    assert request_entry(exchange(status=404), at=1).severity is Severity.WARNING
    assert request_entry(exchange(status=502), at=1).severity is Severity.ERROR
