"""Scripts in the strictest way that this machine has: what they get, and that nothing is left."""

import contextlib
import time
from pathlib import Path

import pytest

from connectory.building.model import Script
from connectory.building.workshop import Limits
from connectory.containment.probe import find_containment
from connectory.contract.scalars import ApplicationType
from tests.building.conftest import Bench, package
from tests.conftest import lacking

MARK = "31536000.25"  #: What processes of these tests sleep for; nothing else does.


@pytest.fixture(scope="module")
def containment(tmp_path_factory):
    found = find_containment(tmp_path_factory.mktemp("data"))
    yield found
    found.close()


class Scripts(Bench):
    """A bench that runs scripts."""

    script_seconds = 60.0

    def run(self, command, tree=None, *, cancelled=lambda: False, tenant="shop", **environment):
        self.lines.clear()
        builds = self.builds
        builds._script_limits = Limits(
            seconds=self.script_seconds, disk_bytes=self.limits.disk_bytes
        )
        script = Script(
            tree=tree or self.tree(**{"package.json": package()}),
            origin="https://git.example/acme.git",
            tenant=tenant,
            application="service",
            type=ApplicationType.SERVICE,
            command=command,
            environment=environment,
        )
        return builds.run_script(script, output=self.lines.append, cancelled=cancelled)

    def left_over(self):
        return list((self.folder / "builds" / "artifacts").iterdir())


@pytest.fixture
def bench(tmp_path, node, containment):
    if not containment.shows_places:
        lacking("namespaces", "nothing confines here")
    return Scripts(tmp_path, containment)


def sleepers():
    """Processes of this machine that sleep for `MARK`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if MARK.encode() in (folder / "cmdline").read_bytes():
                found.append(folder.name)
    return found


def test_a_script_writes_to_a_copy_of_the_source_beside_its_modules(bench):
    tree = bench.write(
        bench.folder / "tree",
        {
            "service/package.json": package(dependencies={"shared": "file:../shared"}),
            "service/index.js": "",
            "shared/package.json": '{"name": "shared"}',
        },
    )
    ran = bench.run("pwd; echo new > made; ls; ls ../shared; ls /tmp/lib/shared", tree)
    assert (ran.code, ran.reason) == (0, "exit code 0")
    shown = ["/workspace", "index.js", "made", "package.json", "package.json", "package.json"]
    assert bench.lines == shown
    assert not (tree / "service" / "made").exists()
    assert bench.left_over() == []


def test_it_has_its_values_and_nothing_of_ours(bench, monkeypatch):
    monkeypatch.setenv("CONNECTORY_SECRET_KEY", "ours")
    ran = bench.run("env", API_KEY="theirs", PATH="/nowhere", HOME="/nowhere")
    assert ran.code == 0
    told = dict(line.partition("=")[::2] for line in bench.lines)
    assert told["API_KEY"] == "theirs"
    assert told["HOME"] == "/home/build"
    assert "/nowhere" not in told["PATH"]
    assert "CI" not in told
    assert "NODE_ENV" not in told
    assert "ours" not in str(told)


def test_npm_runs_its_scripts(bench):
    tree = bench.tree(
        **{"package.json": package(scripts={"set-up": "node -p '6 * 7'", "start": "x"})}
    )
    assert bench.run("npm install && npm run --silent set-up", tree).code == 0
    assert bench.lines[-1] == "42"


def test_an_exit_code_is_told_with_the_last_lines(bench):
    ran = bench.run("seq 100; echo sorry >&2; exit 3")
    assert (ran.code, ran.reason) == (3, "exit code 3")
    assert list(ran.last) == [*map(str, range(62, 101)), "sorry"]
    assert len(bench.lines) == 101


def test_one_that_hangs_is_ended_at_its_limit_also_where_it_minds_no_signal(bench):
    bench.script_seconds = 0.5
    ran = bench.run(f"trap '' TERM INT HUP; echo begun; while :; do sleep {MARK}; done")
    assert (ran.code, ran.reason) == (None, "the script did not end within 0.5 s")
    assert list(ran.last) == ["begun"]
    assert sleepers() == []
    assert bench.left_over() == []


def test_one_that_is_cancelled_ends_at_once(bench):
    began = time.monotonic()
    ran = bench.run(f"echo begun; sleep {MARK}", cancelled=lambda: "begun" in bench.lines)
    assert (ran.code, ran.reason) == (None, "the script was cancelled")
    assert time.monotonic() - began < 10
    assert sleepers() == []


def test_what_it_leaves_in_the_background_ends_with_it(bench):
    daemon = f"setsid -f sh -c \"trap '' TERM HUP; sleep {MARK}\" </dev/null"
    ran = bench.run(f"{daemon}; {daemon} >/dev/null 2>&1; sleep 0.2; echo done")
    assert (ran.code, bench.lines) == (0, ["done"])
    assert sleepers() == []


def test_one_that_prints_without_end_is_cut_off_in_the_log_and_still_ends(bench):
    ran = bench.run("yes | head -n 50000; head -c 300000 /dev/zero | tr '\\0' x; echo; echo end")
    assert ran.code == 0
    assert ran.last[-1] == "end"
    assert len(bench.lines) == 20_001
    assert bench.lines[-1] == "(more than 20000 lines; the rest is not kept)"


def test_one_that_takes_too_much_disk_is_told_so(bench):
    bench.limits = Limits(disk_bytes=2**20)
    ran = bench.run("for i in 1 2 3; do head -c 600000 /dev/zero > $i; done")
    assert ran.code is None
    assert ran.reason.startswith("the script wrote more than 1048576 bytes")


def test_one_that_cannot_be_laid_out_is_told_so(bench):
    tree = bench.tree(**{"package.json": package(dependencies={"shared": "file:../shared"})})
    ran = bench.run("true", tree)
    assert ran.code is None
    assert "the repository has no such module" in ran.reason


def test_what_it_fetched_is_there_for_its_own_project_only(bench):
    mark = "/packages/mark"
    assert bench.run(f"echo ours > {mark}").code == 0
    assert bench.run(f"cat {mark}").last == ("ours",)
    assert bench.run(f"cat {mark}", tenant="another").code == 1
    files = {"package.json": package(scripts={"build": f"test ! -e {mark}", "start": "x"})}
    bench.build(bench.tree("other", **files), origin="https://git.example/acme.git")


@pytest.mark.long
def test_yarn_and_pnpm_are_there_where_a_script_names_them(bench, registry):
    ran = bench.run("yarn --version && pnpm --version && npm --version")
    assert ran.code == 0, ran.last
    yarn, pnpm, npm = (int(each.split(".")[0]) for each in ran.last[-3:])
    assert (yarn, pnpm) == (1, 10)
    assert npm >= 6


def test_a_yarn_of_the_tree_is_the_one_that_is_called(bench):
    files = {
        "package.json": package(packageManager="yarn@4.0.0"),
        ".yarnrc.yml": "yarnPath: .yarn/releases/yarn-4.0.0.cjs\n",
        ".yarn/releases/yarn-4.0.0.cjs": "console.log('own', process.argv.slice(2).join())",
    }
    assert bench.run("yarn install --immutable", bench.tree(**files)).code == 0
    assert bench.lines == ["own install,--immutable"]


def test_a_server_that_is_gone_leaves_nothing_that_is_not_swept(bench):
    builds = bench.builds
    part = Path(bench.folder / "builds" / "artifacts" / "scratch-left" / "part-1")
    part.mkdir(parents=True)
    builds.sweep(set())
    assert not part.exists()
    assert not part.parent.exists()
