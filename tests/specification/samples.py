"""A broken file for each rule: what is wrong, where, and what the official validator says of it.

Written by us. `«` and `»` mark the place that the fault has to name; they are taken out.
"""

from dataclasses import dataclass

SERVICE = """\
deployAs:
  - name: my-service
    applicationType: service
    endpoint: /service
"""
JOB = """\
deployAs:
  - name: my-job
    applicationType: job
    endpoint: /job
    properties:
      schedule: {schedule}
"""
MERCHANT_CENTER = """\
deployAs:
  - name: my-page
    applicationType: merchant-center-custom-application
    configuration:
      standardConfiguration:
        - {key: CUSTOM_APPLICATION_ID, description: Its id, required: true}
        - {key: ENTRY_POINT_URI_PATH, description: Its path, required: true}
        - {key: CLOUD_IDENTIFIER, description: Its cloud, default: gcp-eu}
"""


@dataclass(frozen=True)
class Sample:
    """A file that breaks one rule."""

    rule: str
    marked: str
    #: A part of our message.
    says: str
    #: A part of our hint.
    hint: str = ""
    #: The line of the official validator; "" where it says nothing.
    official: str = ""

    @property
    def text(self) -> str:
        return self.marked.replace("«", "").replace("»", "")

    @property
    def place(self) -> tuple[int, int, int]:
        """Line, column and length of what is marked."""
        before, _, rest = self.marked.partition("«")
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        return line, column, len(rest.partition("»")[0])


def configured(entries: str) -> str:
    return f"{SERVICE}    configuration:\n{entries}"


YAML = [
    Sample(
        "yaml-syntax", SERVICE + "    scripts: {a: b«:» c}\n", "comma that is missing", "close it"
    ),
    Sample(
        "yaml-syntax",
        configured(
            "      standardConfiguration:\n        - key: CTP_REGION\n"
            "          description: one of«:» gcp, aws\n"
        ),
        "`:` inside a value",
        "in quotes",
    ),
    Sample(
        "tab-indentation",
        SERVICE.replace("    endpoint", "«\t»endpoint"),
        "a tab indents this line",
        "blanks",
        "[file content]: Tabs are not allowed as indentation at line 4, column 1",
    ),
    Sample(
        "one-document",
        SERVICE + "«---»\ndeployAs: []\n",
        "a second document",
        "take out",
        "[file content]: Source contains multiple documents; please use"
        " YAML.parseAllDocuments() at line 5, column 1",
    ),
    Sample(
        "duplicate-yaml-key",
        SERVICE + "    «name»: other\n",
        "the key `name` is there twice",
        "keep one",
        "[file content]: Map keys must be unique at line 5, column 5",
    ),
    Sample("merge", "%YAML 1.1\n---\n" + SERVICE + "«<<»: [5]\n", "merges mappings only"),
    Sample("alias", SERVICE + "    scripts: «*none»\n", "has no anchor", "put `&none` before"),
    Sample(
        "alias-count",
        SERVICE + "x: &x [y]\nz: [" + "*x," * 99 + " «*x» ]\n",
        "more than 100 times",
    ),
    Sample("depth", SERVICE + "x: " + "[" * 799 + "«[»" + "]" * 800, "more than 800 levels"),
    Sample("size", "x: [" + ",".join(["a"] * 49_999) + ", «a», a]", "more than 50,000 values"),
]
SHAPE = [
    Sample(
        "wrong-type",
        SERVICE.replace("my-service", "«5»"),
        "`name` is a text, not a number",
        "in quotes",
        "[deployAs.0.name]: Expected string, received number",
    ),
    Sample(
        "wrong-type",
        "«just words»\n",
        "the file is a mapping",
        "",
        "[file content]: Expected object, received string",
    ),
    Sample(
        "missing",
        "deployAs:\n  - «name: my-service\n    applicationType: service\n»",
        "`endpoint` is missing",
        "add it",
        "[deployAs.0.endpoint]: Required",
    ),
    Sample(
        "unknown-key",
        configured("      «standardconfiguration»: []\n"),
        "is not known in `configuration`",
        "did you mean `standardConfiguration`?",
        "[deployAs.0.configuration]: Unrecognized key(s) in object: 'standardconfiguration'",
    ),
    Sample(
        "unknown-key",
        MERCHANT_CENTER + "    «endpoint»: /page\n",
        "`endpoint` is not known in an application of type `merchant-center",
        "only applications of type `service`, `event` or `job` have it",
        "[deployAs.0]: Unrecognized key(s) in object: 'endpoint'",
    ),
    Sample(
        "unknown-key",
        configured(
            "      securedConfiguration:\n"
            "        - {key: SECRET, description: A secret, «default»: s3cr3t}\n"
        ),
        "in a secured configuration key",
        "a secret has no default",
        "[deployAs.0.configuration.securedConfiguration.0]:"
        " Unrecognized key(s) in object: 'default'",
    ),
    Sample(
        "application-type",
        SERVICE.replace("service\n    end", "«servise»\n    end"),
        "`servise` is no `applicationType`",
        "did you mean `service`?",
        "[deployAs.0.applicationType]: Invalid discriminator value. Expected 'service' | 'event'"
        " | 'job' | 'assets' | 'merchant-center-custom-application' | 'mc-app'"
        " | 'merchant-center-custom-view' | 'unknown'",
    ),
    Sample(
        "retry-strategy",
        SERVICE.replace("service\n    end", "event\n    end")
        + "    retryPolicy: {strategy: «exponential»}\n",
        "`exponential` is no `strategy`",
        "did you mean `exponential-backoff`?",
        "[deployAs.0.retryPolicy.strategy]: Invalid discriminator value."
        " Expected 'exponential-backoff' | 'immediate'",
    ),
    Sample(
        "name",
        SERVICE.replace("my-service", "«my service»"),
        "is no name",
        "2 to 256",
        "[deployAs.0.name]: Invalid",
    ),
    Sample(
        "endpoint",
        SERVICE.replace("/service", "«/{id}»"),
        "is no path",
        "letters",
        "[deployAs.0.endpoint]: Invalid",
    ),
    Sample(
        "double-slash",
        SERVICE.replace("/service", "«/a//b»"),
        "a double slash",
        "one slash",
        "[deployAs.0.endpoint]: Double slashes are not allowed",
    ),
    Sample(
        "schedule",
        JOB.format(schedule="«0 3 * * MON»"),
        "`0 3 * * MON` is no schedule",
        "five fields",
        "[deployAs.0.properties.schedule]: Please provide a valid cron schedule string following"
        " the specified format. For example, for daily, you can use '@daily' or the cron"
        " expression '0 0 * * *'.",
    ),
    Sample(
        "configuration-key",
        configured("      standardConfiguration: [{key: «A-B», description: d}]\n"),
        "`A-B` is no configuration key",
        "2 to 256",
        '[deployAs.0.configuration.standardConfiguration.0.key]: Invalid configuration key: "A-B"',
    ),
    Sample(
        "reserved-key",
        configured("      securedConfiguration: [{key: «port», description: d}]\n"),
        "`port` is reserved",
        "another name",
        '[deployAs.0.configuration.securedConfiguration.0.key]: Key "port" is a reserved word',
    ),
    Sample(
        "empty-text",
        SERVICE + "    scripts: {postDeploy: «''»}\n",
        "empty",
        "",
        "[deployAs.0.scripts.postDeploy]: String must contain at least 1 character(s)",
    ),
    Sample(
        "blank-text",
        SERVICE + "    scripts: {preUndeploy: «'  '»}\n",
        "white space",
        "",
        "[deployAs.0.scripts.preUndeploy]: preUndeploy value cannot be only whitespace",
    ),
    Sample(
        "empty-list",
        SERVICE + "inheritAs:\n  apiClient:\n    scopes: «[]»\n",
        "empty",
        "",
        "[inheritAs.apiClient.scopes]: Array must contain at least 1 element(s)",
    ),
    Sample(
        "whole-number",
        SERVICE + "    healthCheck: {path: /health, intervalSeconds: «1.5»}\n",
        "1.5 is no whole number",
        "from 1 to 20",
        "[deployAs.0.healthCheck.intervalSeconds]: Expected integer, received float",
    ),
    Sample(
        "number-range",
        SERVICE + "    healthCheck: {path: /health, unhealthyThreshold: «21»}\n",
        "21 is out of bounds",
        "from 1 to 20",
        "[deployAs.0.healthCheck.unhealthyThreshold]: Number must be less than or equal to 20",
    ),
]
RELATIONS = [
    Sample(
        "duplicate-name",
        SERVICE + "  - {name: «my-service», applicationType: assets}\n",
        "the name `my-service` is there twice",
        "another name",
        "[file content]: Duplicate application name found: my-service",
    ),
    Sample(
        "duplicate-key",
        configured(
            "      standardConfiguration: [{key: AB, description: d}]\n"
            "      securedConfiguration: [{key: «AB», description: d}]\n"
        ),
        "the key `AB` stands twice",
        "keep one",
        "[deployAs.0.configuration]: Duplicate key found AB",
    ),
    Sample(
        "duplicate-global-key",
        configured("      standardConfiguration: [{key: «AB», description: d}]\n")
        + "inheritAs: {configuration: {securedConfiguration: [{key: AB, description: d}]}}\n",
        "`AB` stands under `inheritAs` as well",
        "take it out",
        "[file content]: Duplicate global key found AB",
    ),
    Sample(
        "backoff-order",
        SERVICE.replace("service\n    end", "event\n    end")
        + "    retryPolicy:\n      strategy: exponential-backoff\n"
        "      minBackoffSeconds: «60»\n      maxBackoffSeconds: 10\n",
        "`minBackoffSeconds` is 60, above `maxBackoffSeconds` with 10",
        "swap",
        "[deployAs.0.retryPolicy.minBackoffSeconds]:"
        " minBackoffSeconds must be less than or equal to maxBackoffSeconds",
    ),
    Sample(
        "merchant-center-key",
        MERCHANT_CENTER.replace(
            "{key: CUSTOM_APPLICATION_ID, description: Its id, required: true}",
            "«{key: CUSTOM_APPLICATION_ID, description: Its id}»",
        ),
        "`CUSTOM_APPLICATION_ID` must be in `standardConfiguration`",
        "add `required: true`",
        "[deployAs.0]: Mc app must have CUSTOM_APPLICATION_ID",
    ),
    Sample(
        "cloud-identifier",
        MERCHANT_CENTER.replace(", default: gcp-eu", "").replace("my-page", "«my-page»"),
        "lacks the key `CLOUD_IDENTIFIER`",
        "add it",
        "[file content]: Application my-page is missing CLOUD_IDENTIFIER configuration.",
    ),
    Sample(
        "merchant-center-secured",
        MERCHANT_CENTER + "      securedConfiguration:\n        «- {key: AB, description: d}\n»",
        "has no secured configuration",
        "the browser",
        "[file content]: Secured configuration is not allowed in merchant center custom"
        " application.",
    ),
]
ADVICE = [
    Sample("control-character", SERVICE + "# a «\x07»bell\n", "U+0007", "take it out"),
    Sample("ignored-tag", SERVICE.replace("/service", "«!mine /service»"), "`!mine`", "take it"),
    Sample("no-applications", "deployAs: «[]»\n", "no application"),
    Sample(
        "unknown-application",
        SERVICE.replace("service\n    end", "«unknown»\n    end"),
        "is not deployed",
    ),
    Sample(
        "former-type",
        MERCHANT_CENTER.replace("merchant-center-custom-application", "«mc-app»"),
        "the name of old",
        "merchant-center-custom-application",
    ),
    Sample(
        "hidden-duplicate",
        SERVICE.replace("my-service", "constructor")
        + "  - {name: «constructor», applicationType: assets}\n",
        "`constructor` is there twice",
    ),
    Sample(
        "hidden-duplicate",
        configured("      standardConfiguration: [{key: «toString», description: d}]\n")
        + "inheritAs: {configuration: {securedConfiguration: [{key: toString, description: d}]}}\n",
        "`toString` stands under `inheritAs` as well",
    ),
    Sample(
        "similar-names",
        SERVICE + "  - {name: «My-Service», applicationType: assets}\n",
        "differs from `my-service` in case only",
    ),
    Sample(
        "platform-variable",
        configured("      standardConfiguration: [{key: «NODE_OPTIONS», description: d}]\n"),
        "the system sets `NODE_OPTIONS` itself",
    ),
    Sample(
        "scope-spelling",
        SERVICE + "inheritAs: {apiClient: {scopes: [«view products»]}}\n",
        "does not look like a scope",
    ),
    Sample("relative-endpoint", SERVICE.replace("/service", "«service»"), "does not begin with"),
    Sample(
        "health-check-overlap",
        SERVICE + "    healthCheck: {path: /h, intervalSeconds: 5, timeoutSeconds: «6»}\n",
        "waits 6 seconds, and asks again after 5",
    ),
    Sample("schedule-text", JOB.format(schedule="«please @daily now»"), "more here than"),
    Sample("schedule-range", JOB.format(schedule="«'*/720 * * * *'»"), "longer than the range"),
    Sample("schedule-range", JOB.format(schedule="«61 0 * * *»"), "61 is no minute", "0 to 59"),
    Sample("schedule-range", JOB.format(schedule="«5-1 0 * * *»"), "ends before it begins"),
    Sample("schedule-range", JOB.format(schedule="«'*/0 * * * *'»"), "steps of nothing"),
    Sample("schedule-never", JOB.format(schedule="«0 5 31 2,4 *»"), "no month that is named"),
]
ALL = [*YAML, *SHAPE, *RELATIONS, *ADVICE]
