"""Schemathesis reads `/openapi.json` and tries to catch the server at breaking its word.

All of its checks are on, a limit of time too, and each of its warnings is a failure. It sends what
the description allows (which has to be taken) and what it rules out (which has to be refused), and
looks for undescribed statuses, headers and bodies, for ignored authentication and for 5xx.
"""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from connectory.http import events
from tests.harness import UNMEASURED
from tests.http.conftest import OWN, PRIVATE, PUBLIC, Described
from tests.staging.examples import certifiable

RESPONSE_SECONDS = 10

CONFIGURATION = """
hooks = {hooks}

[warnings]
fail-on = true

[auth.openapi.oauth2]
bearer = {token}

[auth.openapi.operator]
bearer = {operator_token}

[auth.openapi.client]
username = {client_id}
password = {client_secret}

# Ids and keys drawn at random lead to nothing; half of them are to be found.
[dictionaries.ids]
values = {ids}

[dictionaries.drafts]
values = {drafts}

[dictionaries.certifications]
values = {certifications}

[dictionaries.keys_of_drafts]
values = {keys_of_drafts}

[dictionaries.keys]
values = {keys}

[dictionaries.projects]
values = {projects}

[[operations]]
include-path = "/connectors/{{id}}"
parameters = {{ "path.id" = {{ dictionary = "ids", probability = 0.5 }} }}

[[operations]]
include-path = "/connectors/key={{key}}"
parameters = {{ "path.key" = {{ dictionary = "keys", probability = 0.5 }} }}

# Paths name Projects, and only one of them is the token's.
[[operations]]
include-path-regex = "/deployments|/topics/|/webhooks"
warnings = false
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "409"]
parameters = {{ "path.projectKey" = {{ dictionary = "projects", probability = 0.8 }} }}

# Whether a good draft or action is possible depends on repositories and on what was done before,
# which is what its warnings are about.
[[operations]]
include-path-regex = "^/connectors/drafts"
include-method = "POST"
warnings = false
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409"]

[[operations]]
include-path = "/connectors/drafts/{{id}}"
warnings = false
parameters = {{ "path.id" = {{ dictionary = "drafts", probability = 0.5 }} }}

[[operations]]
include-path = "/connectors/drafts/key={{key}}"
warnings = false
parameters = {{ "path.key" = {{ dictionary = "keys_of_drafts", probability = 0.5 }} }}

# Streams of events have no end that could be waited for.
[[operations]]
include-path-regex = "/(events|follow)$"
enabled = false

# Whether a reviewer's act is possible depends on what others did before.
[[operations]]
include-path = "/operator/certifications/{{id}}"
warnings = false
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409"]
parameters = {{ "path.id" = {{ dictionary = "certifications", probability = 0.5 }} }}
"""


@pytest.mark.parametrize(
    "examples",
    [
        # For each endpoint in the phase that draws requests at random; the others are the same, and
        # that of a value's limits alone sends thousands.
        1,
        pytest.param(30, marks=(pytest.mark.long, pytest.mark.timeout(900))),
    ],
)
def test_the_server_keeps_what_its_description_promises(
    described: Described, tmp_path: Path, examples: int
) -> None:
    values = {
        "hooks": str(Path(__file__).with_name("schemathesis_hooks.py")),
        "token": described.token,
        "operator_token": described.operator_token,
        "client_id": described.client.client_id,
        "client_secret": described.client.client_secret,
        "ids": [PRIVATE["id"], PUBLIC["id"]],
        "drafts": [described.new_draft()["id"] for _ in range(20)],
        "certifications": [described.new_draft(certifiable)["id"] for _ in range(20)],
        "keys_of_drafts": [described.new_draft()["key"] for _ in range(20)],
        "keys": [PRIVATE["key"], PUBLIC["key"]],
        "projects": [OWN],
    }
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(
        CONFIGURATION.format(**{name: json.dumps(value) for name, value in values.items()})
    )
    # Of an address, Schemathesis would leave that very endpoint out.
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(described.document))
    done = subprocess.run(
        [
            Path(sys.executable).with_name("st"),
            f"--config-file={configuration}",
            "run",
            document,
            f"--url={described.server.url}",
            "--checks=all",
            f"--max-response-time={RESPONSE_SECONDS}",
            "--phases=examples,coverage,fuzzing,stateful",
            f"--max-examples={examples}",
            # pytest-randomly seeds this, and so can repeat it.
            f"--seed={random.getrandbits(32)}",
            "--continue-on-failure",
            "--no-color",
        ],
        cwd=tmp_path,
        env=os.environ | UNMEASURED,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None
    ending = [each for each in described.endpoints if each.produces != events.MEDIA_TYPE]
    assert int(tested[1]) == len(ending)
    assert "No issues found" in done.stdout
