"""The OpenAPI document as one page that loads nothing and runs no script.

It shows what `openapi.document` says and nothing else, but for the words at its head. A piece of
code is selected whole by one click, which is all that copying needs.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from connectory.contract.errors import InvalidQueryParam
from connectory.http import openapi
from connectory.http.openapi import ADDITION, TEXT_PATTERN
from connectory.http.operation import Operation
from connectory.http.schemas import Json

_STYLE: Final = resources.files("connectory.http").joinpath("page.css").read_text()
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: Nothing but the page's own style and its icon.
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)

_ICON: Final = quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect width="32" height="32" rx="8" fill="#0f766e"/>'
    '<path d="M11 21 21 11" stroke="#fff" stroke-width="3"/>'
    '<circle cx="10" cy="22" r="4.5" fill="#fff"/>'
    '<circle cx="22" cy="10" r="4.5" fill="none" stroke="#fff" stroke-width="3"/></svg>'
)

_JSON_TOKEN: Final = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=\s*:)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>[\w.+-]+)'
)


def render(document: Json, origin: str) -> str:
    """The page, in HTML; `origin` is the server's address in its examples."""
    tags = [tag["name"] for tag in document["tags"]]
    operations = [
        Operation(document, origin, path, method)
        for path, methods in document["paths"].items()
        for method in methods
    ]
    by_tag = {tag: [each for each in operations if tag in each.spec["tags"]] for tag in tags}
    schemas: Json = document["components"]["schemas"]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(document["info"]["title"])} · API reference</title>
<link rel="icon" href="data:image/svg+xml,{_ICON}">
<style>{_STYLE}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
{_navigation(document, by_tag)}
<main id="content">
{_head(origin)}
{"".join(_tag_section(tag, found) for tag, found in by_tag.items())}
<section aria-labelledby="types">
<h2 id="types">Types</h2>
{"".join(_type(name, schema) for name, schema in sorted(schemas.items()))}
</section>
</main>
</body>
</html>
"""


def _navigation(document: Json, by_tag: dict[str, list[Operation]]) -> str:
    groups = []
    for tag, operations in by_tag.items():
        links = "".join(
            f'<li><a href="#{each.id}">{_method(each.method)}{escape(each.summary)}</a></li>'
            for each in operations
        )
        groups.append(f'<li><a href="#{_anchor(tag)}">{escape(tag)}</a><ul>{links}</ul></li>')
    return f"""<nav aria-label="Contents">
<p class="brand"><a href="#content"><svg viewBox="0 0 32 32" aria-hidden="true">\
<rect width="32" height="32" rx="8"/><path d="M11 21 21 11"/><circle cx="10" cy="22" r="4.5"/>\
<circle class="open" cx="22" cy="10" r="4.5"/></svg>{escape(document["info"]["title"])}</a>
<span class="version">{escape(document["info"]["version"])}</span></p>
<ul class="contents"><li><a href="#start">Start</a></li>{"".join(groups)}\
<li><a href="#types">Types</a></li></ul>
</nav>"""


def _head(origin: str) -> str:
    get_token = (
        'TOKEN=$(curl -s -u "$CLIENT_ID:$CLIENT_SECRET" \\\n'
        f"  -d grant_type=client_credentials \\\n  {origin}/oauth/token |\n"
        '  sed \'s/.*"access_token":"\\([^"]*\\).*/\\1/\')'
    )
    first = f'curl -s -H "Authorization: Bearer $TOKEN" \\\n  "{origin}/connectors/search?limit=3"'
    error = openapi.example_of(InvalidQueryParam)
    return f"""<header id="start">
<p class="eyebrow">API reference</p>
<h1>The Connect API, on a server of your own</h1>
<p class="lead">Every endpoint, as this server answers it. What the published API lacks is marked \
as an {_ADDITION_MARK}.</p>
<p class="address">This server: <code class="copy">{escape(origin)}</code>
 <a class="button" href="/openapi.json">OpenAPI 3.1</a></p>
<div class="steps">
<section><h2>1 · Get a token</h2>
<p>An API Client belongs to one Project. <code>connectory client create</code> makes one and \
shows its id and its secret, once.</p>
{_sample("Shell", escape(get_token))}</section>
<section><h2>2 · Ask</h2>
<p>A token is sent as <code>Authorization: Bearer</code> and reaches as far as its scopes, on the \
Project of its client.</p>
{_sample("Shell", escape(first))}</section>
</div>
<div class="endpoint">
<section class="prose"><h2>Every answer</h2>
<ul>
<li>An error has one body, whatever it is: <a href="#type-ErrorResponse">ErrorResponse</a>. \
Several faults of a request come in one answer.</li>
<li><code>X-Correlation-ID</code> names the request in the server's log; send one, and the server \
takes it over.</li>
<li>Where there is an <code>ETag</code>, <code>If-None-Match</code> gets \
<code>304 Not Modified</code> as long as nothing has changed.</li>
<li><code>HEAD</code> works wherever <code>GET</code> does, and answers are compressed where \
<code>Accept-Encoding</code> has <code>gzip</code>.</li>
<li>Parameters and fields that an endpoint does not know are ignored.</li>
</ul></section>
<div class="samples">{_sample("An error", _json(error))}</div>
</div>
</header>"""


_ADDITION_MARK: Final = '<span class="addition" title="The published API lacks it">addition</span>'


def _tag_section(tag: str, operations: Iterable[Operation]) -> str:
    anchor = _anchor(tag)
    return (
        f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(tag)}</h2>'
        + "".join(map(_operation, operations))
        + "</section>"
    )


def _operation(operation: Operation) -> str:
    spec = operation.spec
    mark = f" {_ADDITION_MARK}" if spec.get(ADDITION) else ""
    path = re.sub(r"({\w+})", r"<var>\1</var>", escape(operation.path))
    parts = [
        f'<h3><a href="#{operation.id}">{escape(operation.summary)}</a>{mark}</h3>',
        f'<p class="route">{_method(operation.method)}<code>{path}</code></p>',
        _prose(spec.get("description", "")),
        _access(spec["security"]),
        _parameters("Path", operation.parameters("path")),
        _parameters("Query", operation.parameters("query")),
        _body(operation),
        _responses(operation),
    ]
    return (
        f'<article class="endpoint" id="{operation.id}"><div class="prose">{"".join(parts)}</div>'
        f'<div class="samples">{"".join(_samples(operation))}</div></article>'
    )


def _access(security: list[Json]) -> str:
    scopes = [scope for each in security for scope in each.get("oauth2", ())]
    if scopes:
        return f"<h4>Access</h4><p>A token with one of these scopes:</p>{_words(scopes)}"
    if {"operator": []} in security:
        return "<h4>Access</h4><p>A token of an operator, and no other.</p>"
    if security:
        return (
            "<h4>Access</h4><p>The client's id and secret, by Basic authentication or in the"
            " form.</p>"
        )
    return "<h4>Access</h4><p>Open to anyone.</p>"


def _words(words: Iterable[str]) -> str:
    items = "".join(f"<li><code>{escape(word)}</code></li>" for word in words)
    return f'<ul class="words">{items}</ul>'


def _parameters(place: str, parameters: list[Json]) -> str:
    if not parameters:
        return ""
    fields = "".join(
        _field(each["name"], each["schema"], each["description"], required=each.get("required"))
        for each in parameters
    )
    return f"<h4>{place} parameters</h4><dl>{fields}</dl>"


def _body(operation: Operation) -> str:
    if operation.body is None:
        return ""
    media, content = operation.body
    if "anyOf" in content["schema"]:
        return f"<h4>Body <code>{escape(media)}</code></h4><p>{_kind(content['schema'])}</p>"
    schema = operation.resolved(content["schema"])
    return (
        f"<h4>Body <code>{escape(media)}</code></h4>"
        f"{_prose(schema.get('description', ''))}{_fields(schema)}"
    )


def _responses(operation: Operation) -> str:
    shown: list[str] = []
    failures: list[tuple[str, Json]] = []
    for status, response in operation.responses:
        content = response.get("content", {})
        media = next(iter(content), "")
        if int(status) >= 400:  # noqa: PLR2004 - errors
            failures.append((status, response))
            continue
        schema: Json = content[media]["schema"] if media else {}
        title = f'<b class="status">{status}</b> {escape(response["description"])}'
        if "$ref" in schema:
            described = operation.resolved(schema)
            inner = _prose(described.get("description", "")) + _fields(described)
            shown.append(
                f'<details><summary>{title} <span class="kind">{_kind(schema)}</span></summary>'
                f"{inner}</details>"
            )
        else:
            kind = f'<span class="kind"><code>{escape(media)}</code></span>' if media else ""
            shown.append(f'<p class="plain">{title} {kind}</p>')
    return f"<h4>Responses</h4>{''.join(shown)}{_failures(failures)}"


def _failures(failures: list[tuple[str, Json]]) -> str:
    rows = []
    for status, response in failures:
        meanings = re.findall(r"`(\w+)`: (.*?)(?=\n\n`|\Z)", response["description"], re.DOTALL)
        examples = response["content"]["application/json"]["examples"]
        for code, meaning in meanings:
            message = examples[code]["value"]["message"]
            rows.append(
                f'<div><dt><b class="status bad">{status}</b> <code>{escape(code)}</code></dt>'
                f"<dd>{_inline(meaning)}<q>{escape(message)}</q></dd></div>"
            )
    statuses = " ".join(f'<b class="status bad">{status}</b>' for status, _ in failures)
    return f"<details><summary>Errors {statuses}</summary><dl>{''.join(rows)}</dl></details>"


def _samples(operation: Operation) -> Iterator[str]:
    yield _sample("Request", escape(operation.curl()))
    for status, response in operation.responses:
        for media, content in response.get("content", {}).items():
            if "example" in content:
                yield _sample(f"{status} · {media}", _json(content["example"]))


def _type(name: str, schema: Json) -> str:
    values = ""
    mark = f" {_ADDITION_MARK}" if schema.get(ADDITION) else ""
    if "enum" in schema:
        values = _words(schema["enum"])
    return (
        f'<details class="type" open id="type-{name}"><summary><h3>{escape(name)}</h3>{mark}'
        "</summary>"
        f"{_prose(schema.get('description', ''))}{values}{_fields(schema)}</details>"
    )


def _fields(schema: Json) -> str:
    required = schema.get("required", ())
    fields = "".join(
        _field(name, each, each.get("description", ""), required=name in required)
        for name, each in schema.get("properties", {}).items()
    )
    return f"<dl>{fields}</dl>" if fields else ""


def _field(name: str, schema: Json, description: str, *, required: bool | None) -> str:
    mark = ' <span class="required">required</span>' if required else ""
    return (
        f'<div><dt><code>{escape(name)}</code> <span class="kind">{_kind(schema)}</span>{mark}</dt>'
        f"<dd>{_inline(description)}{_limits(schema)}</dd></div>"
    )


def _kind(schema: Json) -> str:
    """What a value is, in a word or two."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#type-{name}">{escape(name)}</a>'
    if schema.get("type") == "array":
        return f"array of {_kind(schema['items'])}"
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    return escape(str(schema.get("type", "any")))


def _limits(schema: Json) -> str:
    """Everything else that a schema says of a value."""
    inner = schema.get("items", schema)
    limits = []
    if "minimum" in inner or "maximum" in inner:
        low, high = inner.get("minimum"), inner.get("maximum")
        limits.append(f"{low} to {high}" if None not in (low, high) else f"at least {low}")
    if "maxLength" in inner:
        limits.append(f"{inner.get('minLength', 0)} to {inner['maxLength']} characters")
    if inner.get("pattern", TEXT_PATTERN) != TEXT_PATTERN:
        limits.append(f"<code>{escape(inner['pattern'])}</code>")
    if "enum" in inner:
        limits.append(", ".join(f"<code>{escape(str(value))}</code>" for value in inner["enum"]))
    if schema.get("default") not in (None, "", []):
        limits.append(f"default <code>{escape(json.dumps(schema['default']))}</code>")
    if schema.get("type") == "array" and schema.get("default") == []:
        limits.append("can be repeated")
    return f'<span class="limits">{" · ".join(limits)}</span>' if limits else ""


def _sample(title: str, code: str) -> str:
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<pre tabindex="0"><code class="copy">{code}</code></pre></figure>'
    )


def _json(value: Any) -> str:
    """JSON with its keys, texts and other values told apart."""

    def marked(found: re.Match[str]) -> str:
        return f'<span class="{found.lastgroup}">{escape(found[0], quote=False)}</span>'

    return _JSON_TOKEN.sub(marked, json.dumps(value, indent=2, ensure_ascii=False))


def _method(method: str) -> str:
    return f'<span class="method {method.lower()}">{method}</span>'


def _anchor(tag: str) -> str:
    return "tag-" + re.sub(r"\W+", "-", tag.lower())


def _prose(text: str) -> str:
    paragraphs = [part for part in text.split("\n\n") if part]
    return "".join(f"<p>{_inline(part)}</p>" for part in paragraphs)


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
