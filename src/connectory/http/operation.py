"""One operation, read back from the OpenAPI document: what a page about it needs."""

from urllib.parse import urlencode

from connectory.http.bodies import FORM
from connectory.http.events import MEDIA_TYPE
from connectory.http.schemas import Json


class Operation:
    """One method on one path, with what is needed to show it."""

    def __init__(self, document: Json, origin: str, path: str, method: str) -> None:
        self.document = document
        self.origin = origin
        self.path = path
        self.method = method.upper()
        self.spec: Json = document["paths"][path][method]
        self.id: str = self.spec["operationId"]
        self.summary: str = self.spec["summary"]

    def resolved(self, value: Json) -> Json:
        """What a value is, or what it refers to."""
        while "$ref" in value:
            _, *keys = value["$ref"].split("/")
            value = self.document
            for key in keys:
                value = value[key]
        return value

    def parameters(self, place: str) -> list[Json]:
        """The parameters in the path, or those of the query."""
        found = map(self.resolved, self.spec.get("parameters", ()))
        return [each for each in found if each["in"] == place]

    @property
    def body(self) -> tuple[str, Json] | None:
        """The media type of the request's body, and the content."""
        content = self.spec.get("requestBody", {}).get("content", {})
        return next(iter(content.items()), None)

    @property
    def responses(self) -> list[tuple[str, Json]]:
        """Every status that the operation answers with."""
        return [(status, self.resolved(value)) for status, value in self.spec["responses"].items()]

    @property
    def _produced(self) -> Json:
        """The content of a successful answer, by media type."""
        _, first = self.responses[0]
        content: Json = first.get("content", {})
        return content

    def curl(self) -> str:
        """A request that works, given the credentials in the shell's variables."""
        path = self.path
        for parameter in self.parameters("path"):
            example = parameter["schema"].get("examples", [f"${parameter['name'].upper()}"])[0]
            path = path.replace(f"{{{parameter['name']}}}", example)
        chosen = {
            each["name"]: each["schema"]["examples"][0]
            for each in self.parameters("query")
            if "examples" in each["schema"]
        }
        query = f"?{urlencode(chosen)}" if chosen else ""
        words = ["curl -s -N" if MEDIA_TYPE in self._produced else "curl -s"]
        schemes = {scheme for each in self.spec["security"] for scheme in each}
        if "operator" in schemes:
            words.append('-H "Authorization: Bearer $OPERATOR_TOKEN"')
        elif "oauth2" in schemes:
            words.append('-H "Authorization: Bearer $TOKEN"')
        elif schemes:
            words.append('-u "$CLIENT_ID:$CLIENT_SECRET"')
        if self.method != ("GET" if self.body is None else "POST"):
            words.append(f"-X {self.method}")
        if self.body is not None:
            words += self._curl_body(*self.body)
        words.append(f'"{self.origin}{path}{query}"')
        return " \\\n  ".join(words)

    def _curl_body(self, media: str, content: Json) -> list[str]:
        if media != FORM:
            return [f'-H "Content-Type: {media}"', "-d @body.json"]
        schema = self.resolved(content["schema"])
        words = []
        for name in schema["required"]:
            values = schema["properties"][name].get("enum")
            words.append(f"-d {name}={values[0]}" if values else f'-d "{name}=${name.upper()}"')
        return words
