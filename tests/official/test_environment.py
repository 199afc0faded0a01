"""`connectory official-cli-env`: exports for a shell, and the preload that they bring into Node."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import connectory
from tests.harness import COMMAND, Installation
from tests.official import npm
from tests.official.machine import Machine

EXPORTS = 'eval "$(connectory official-cli-env)"'
TOKENS = "https://auth.europe-west1.gcp.commercetools.com/oauth/token"


def run_sh(script: str, **variables: str) -> str:
    """What a script prints in a shell that finds `connectory` and `node`."""
    path = f"{Path(COMMAND).parent}:{npm.environment()['PATH']}"
    done = subprocess.run(
        ["sh", "-c", script],
        env=npm.environment() | {"PATH": path} | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """No more than a place: the command needs no database."""
    return Installation(tmp_path / "data")


def test_the_server_is_the_one_on_this_machine_unless_said_otherwise(
    installation: Installation,
) -> None:
    public = Installation(
        installation.data, settings={"CONNECTORY_PUBLIC_URL": "https://a.example"}
    )
    for given, expected in (
        (installation.run_json("official-cli-env"), "http://127.0.0.1:7070"),
        (public.run_json("official-cli-env"), "https://a.example"),
        (public.run_json("official-cli-env", "--url", "http://b.example/c/"), "http://b.example/c"),
    ):
        assert given["CTP_CLI_CONNECT_API_URL"] == expected
    assert not installation.data.exists()


@pytest.mark.parametrize(
    "url", ["localhost:7070", "ftp://a.example", "http://", "http://u:p@a.example", "http://a b"]
)
def test_what_is_not_the_address_of_a_server_is_refused(
    installation: Installation, url: str
) -> None:
    done = installation.run("official-cli-env", "--url", url, expect=2)
    assert done.stdout == ""
    assert "such as http://127.0.0.1:7070" in done.stderr


def test_the_options_that_node_has_already_stay_in_force(node: str) -> None:
    told = run_sh(f"{EXPORTS}; node -p process.title", NODE_OPTIONS="--title=before")
    assert told == "before\n"


def test_evaluated_twice_the_environment_is_as_after_once(node: str) -> None:
    show = 'printf "%s\\n" "$CTP_CLI_CONNECT_API_URL" "$NODE_OPTIONS"'
    once = run_sh(f"{EXPORTS}; {show}", NODE_OPTIONS="--title=before")
    twice = run_sh(f"{EXPORTS}; {EXPORTS}; {show}", NODE_OPTIONS="--title=before")
    assert twice == once
    assert once.count("--require") == 1


def test_the_program_may_lie_in_a_folder_of_any_name(node: str, tmp_path: Path) -> None:
    folder = tmp_path / "blanks  'and' \"quotes\" \\ $HOME"
    source = Path(connectory.__file__).parent
    shutil.copytree(source, folder / "connectory", ignore=shutil.ignore_patterns("__pycache__"))
    command = f"{sys.executable} -m connectory official-cli-env"
    print_loaded = "node -p 'Object.keys(require.cache)[0]'"
    told = run_sh(f'eval "$({command})"; {print_loaded}', PYTHONPATH=str(folder))
    assert told == f"{folder}/connectory/cli/official_cli_preload.cjs\n"


#: How programs on Node ask for `url`; each calls `show` with the body that came.
CLIENTS = {
    "fetch an address": """
        const answer = await fetch(url, { method: "POST", headers, body });
        show(await answer.text());
    """,
    "fetch a URL": """
        const answer = await fetch(new URL(url), { method: "POST", headers, body });
        show(await answer.text());
    """,
    "fetch a Request": """
        const answer = await fetch(new Request(url, { method: "POST", headers, body }));
        show(await answer.text());
    """,
    "node-fetch": """
        const { default: nodeFetch } = await import("node-fetch");
        const answer = await nodeFetch(url, { method: "POST", headers, body });
        show(await answer.text());
    """,
    "https.request by address": """
        https.request(url, { method: "POST", headers }, read).end(body);
    """,
    "https.request by URL": """
        https.request(new URL(url), { method: "POST", headers }, read).end(body);
    """,
    "https.request by options": """
        const { hostname, pathname: path } = new URL(url);
        const agent = new https.Agent({ keepAlive: false });
        const port = 443;
        https.request({ hostname, port, path, method: "POST", headers, agent }, read).end(body);
    """,
    "request imported by name": """
        const { request } = await import("node:https");
        request(url, { method: "POST", headers }, read).end(body);
    """,
}
CLIENT = """
import https from "node:https";
const [url, credentials] = JSON.parse(process.env.ARGUMENT);
const headers = {
  "Authorization": `Basic ${Buffer.from(credentials).toString("base64")}`,
  "Content-Type": "application/x-www-form-urlencoded",
};
const body = "grant_type=client_credentials";
const show = (text) => console.log(text);
async function read(answer) {
  let text = "";
  for await (const part of answer) text += part;
  show(text);
}
"""


@pytest.mark.parametrize("client", CLIENTS)
def test_every_way_of_asking_for_a_hosted_address_ends_here(machine: Machine, client: str) -> None:
    credentials = f"{machine.shop.credentials.client_id}:{machine.shop.credentials.client_secret}"
    token = machine.module(CLIENT + CLIENTS[client], [TOKENS, credentials])
    assert token["scope"] == "manage_project:shop"


@pytest.mark.parametrize("client", ["fetch an address", "https.request by options"])
def test_the_address_of_the_server_may_have_a_path(machine: Machine, client: str) -> None:
    answer = machine.module(
        CLIENT + CLIENTS[client],
        [TOKENS, "a:b"],
        CTP_CLI_CONNECT_API_URL=f"{machine.shop.server.url}/x/y/",
    )
    assert answer["message"].startswith("The path '/x/y/oauth/token' does not exist")


def test_the_address_of_the_server_may_have_the_port_of_its_scheme(machine: Machine) -> None:
    told = machine.module(
        """
        import http from "node:http";
        import https from "node:https";
        http.globalAgent.createConnection = ({ host, port }) => {
          console.log(JSON.stringify([host, port]));
          process.exit();
        };
        https.get({ host: "auth.us-east-2.aws.commercetools.com", port: 443, defaultPort: 443 });
        """,
        CTP_CLI_CONNECT_API_URL="http://server.example",
    )
    assert told == ["server.example", 80]


#: Asks for addresses by both doors; no name is ever resolved, so that nothing leaves this machine.
#: Prints for each which host's name was looked up, which 127.0.0.1 does not need.
LOOKUPS = """
import dns from "node:dns";
import https from "node:https";
dns.lookup = (host, _options, callback) => callback(new Error(host));
const bare = (error) => (error.cause ?? error).message;
const asked = JSON.parse(process.env.ARGUMENT).map(async (url) => [
  await fetch(url).then((answer) => `answered ${answer.status}`, bare),
  await new Promise((resolve) => {
    if (!url.startsWith("https:")) return resolve(new URL(url).hostname);
    const lookup = dns.lookup;
    https.get(url, { lookup }, (answer) => resolve(`answered ${answer.statusCode}`))
      .on("error", (error) => resolve(bare(error)));
  }),
]);
console.log(JSON.stringify(await Promise.all(asked)));
process.exit();
"""
OTHERS = {
    "https://api.europe-west1.gcp.commercetools.com/": "api.europe-west1.gcp.commercetools.com",
    "https://auth.commercetools.com/": "auth.commercetools.com",
    "https://auth.a.gcp.commercetools.com.b.example/": "auth.a.gcp.commercetools.com.b.example",
    "https://b-auth.a.gcp.commercetools.com/": "b-auth.a.gcp.commercetools.com",
    "https://auth.a.gcp.commercetools.com:8443/": "auth.a.gcp.commercetools.com",
    "http://auth.a.gcp.commercetools.com/": "auth.a.gcp.commercetools.com",
    "https://b.example/?https://auth.a.gcp.commercetools.com/": "b.example",
}


def test_only_the_hosts_of_tokens_and_of_connect_are_redirected(machine: Machine) -> None:
    ours = [
        "https://auth.us-east-2.aws.commercetools.com/health",
        TOKENS.replace("auth", "connect"),
    ]
    told = machine.module(LOOKUPS, [*ours, *OTHERS])
    assert told == [["answered 200"] * 2, ["answered 404"] * 2] + [
        [host] * 2 for host in OTHERS.values()
    ]


def test_without_the_address_of_a_server_nothing_is_redirected(machine: Machine) -> None:
    told = machine.module(LOOKUPS, [TOKENS], CTP_CLI_CONNECT_API_URL="")
    assert told == [["auth.europe-west1.gcp.commercetools.com"] * 2]
