"""The how-to guide does what it says: its commands run here, one after the other."""

import re
from pathlib import Path

from tests.harness import Installation
from tests.official.machine import run

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "official-cli.md"


def test_the_guide_can_be_followed(packages: Path, tmp_path: Path) -> None:
    text = GUIDE.read_text()
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    (module,) = re.findall(r"^```js\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    home = tmp_path / "home"
    home.mkdir()
    (home / "node_modules").symlink_to(packages)
    (home / "connectors.mjs").write_text(module)

    with Installation(tmp_path / "data").serving("--demo") as server:
        script = f'set -eu\n{commands}\necho "${{CTP_CLI_CONNECT_API_URL-unset}}"'
        done = run(["sh", "-c", script], home, packages, CONNECTORY_PUBLIC_URL=server.url)

    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[:3] == [
        "Authentication successful",
        "Logged in as connectory-demo-client-1",
        "Project key: demo",
    ]
    assert "adyen-payment" in {line.split(" ")[0] for line in said}
    assert said[-1] == "unset"
