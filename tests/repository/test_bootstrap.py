"""A checkout sets itself up: what is installed when, and what a person is told when it fails."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import bootstrap
import pytest

ROOT = Path(__file__).parent.parent.parent


class Installer:
    """Runs no command of an install: records it, and fails or is interrupted where told to."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.failing: tuple[str, ...] = ()
        self.interrupted = "nothing"

    def __call__(self, command, _folder=None) -> bool:
        line = " ".join(command)
        self.commands.append(line)
        if self.interrupted in line:
            raise KeyboardInterrupt
        if "-m venv" in line:
            bootstrap.PYTHON.parent.mkdir(parents=True)
            bootstrap.PYTHON.touch()
        return not any(each in line for each in self.failing)

    def ran(self, what: str) -> int:
        """Count the commands with this in them, and forget all."""
        found = sum(what in line for line in self.commands)
        self.commands.clear()
        return found


def copy_checkout(to: Path) -> Path:
    """Copy as much of this repository as bootstrap.py needs."""
    for path in ("bootstrap.py", "pyproject.toml", "src/connectory/__init__.py"):
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, to / path)
    shutil.copytree(ROOT / "requirements", to / "requirements")
    return to


def move_to(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the module work on another checkout than the one that these tests run from."""
    names = ("LOCKS", "VENV", "PYTHON", "STATE", "WORKSHOP", "LOG", "ROOT")
    places = {name: getattr(bootstrap, name).relative_to(bootstrap.ROOT) for name in names}
    for name, place in places.items():
        monkeypatch.setattr(bootstrap, name, root / place)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = copy_checkout(tmp_path / "a checkout")
    move_to(root, monkeypatch)
    return root


@pytest.fixture
def installer(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    fake = Installer()
    monkeypatch.setattr(bootstrap, "logged", fake)
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None if name == "uv" else name)
    return fake


def run_script(root: Path, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "bootstrap.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


# What a person is told


def test_an_old_python_can_read_the_file():
    ast.parse((ROOT / "bootstrap.py").read_text(), feature_version=(3, 8))


def test_an_old_python_is_told_so_in_one_line():
    script = (
        "import runpy, sys; sys.version_info = (3, 10, 13, 'final', 0);"
        f"runpy.run_path({str(ROOT / 'bootstrap.py')!r}, run_name='__main__')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "needs Python 3.11 or newer" in ran.stderr
    assert "is Python 3.10;" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_missing_git_is_told_in_one_line(checkout):
    ran = run_script(checkout, "install", env={**os.environ, "PATH": "/nowhere"})
    assert (ran.returncode, ran.stderr) == (
        1,
        "bootstrap: git is missing; on Debian and Ubuntu: apt install git\n",
    )


def test_a_folder_that_cannot_be_written_is_told_in_one_line(checkout):
    (checkout / ".bootstrap").write_text("in the way")  # root may write everywhere else
    ran = run_script(checkout, "install")
    assert ran.returncode == 1
    assert ran.stderr.startswith("bootstrap: ")
    assert ran.stderr.count("\n") == 1


def test_an_unknown_command_is_wrong_use(checkout):
    assert run_script(checkout, "dance").returncode == 2


def test_a_failure_gives_the_last_commands_reason(checkout):
    bootstrap.WORKSHOP.mkdir()
    bootstrap.logged(["sh", "-c", "echo error: of an earlier one"], checkout)
    bootstrap.logged(["sh", "-c", "echo the last word"], checkout)
    assert bootstrap.failure().startswith("the last word (")


def test_a_failure_gives_the_error_and_not_the_chatter_around_it(checkout):
    bootstrap.WORKSHOP.mkdir()
    bootstrap.logged(["sh", "-c", "echo start; echo ERROR: no such wheel; echo bye"], checkout)
    assert bootstrap.failure().startswith("ERROR: no such wheel (")


def test_a_failure_for_want_of_a_network_is_told_as_that(checkout):
    bootstrap.WORKSHOP.mkdir()
    bootstrap.logged(["sh", "-c", "echo Temporary failure in name resolution; exit 1"], checkout)
    assert "is there a network?" in bootstrap.failure()


def test_check_names_what_failed(checkout, monkeypatch, capfd):
    scripts = checkout / ".venv" / "bin"
    scripts.mkdir(parents=True)
    for name, code in (("ruff", 0), ("mypy", 1), ("lint-imports", 1)):
        (scripts / name).write_text(f"#!/bin/sh\necho {name} ran\nexit {code}\n")
        (scripts / name).chmod(0o755)
    with pytest.raises(bootstrap.BootstrapError, match=r"^failed: mypy, lint-imports$"):
        bootstrap.check([])
    assert capfd.readouterr().out.count(" ran\n") == 4


# What is installed, and when


def test_the_second_start_installs_nothing(installer):
    bootstrap.install("run")
    assert installer.ran("--require-hashes") == 1
    bootstrap.install("run")
    assert installer.commands == []


def test_the_runtime_is_part_of_the_development_set_and_not_the_other_way_round(installer):
    bootstrap.install("run")
    assert not bootstrap.is_installed("dev")
    bootstrap.install("dev")
    assert bootstrap.is_installed("run")


@pytest.mark.parametrize(
    "path", ["requirements/run.txt", "pyproject.toml", "src/connectory/__init__.py"]
)
def test_a_change_installs_again_into_the_same_environment(installer, checkout, path):
    bootstrap.install("run")
    installer.commands.clear()
    changed = checkout / path
    changed.write_text(changed.read_text().replace('description = "', 'description = "So: ') + "\n")
    if path == "pyproject.toml":
        assert "So: " in changed.read_text()
    bootstrap.install("run")
    assert any("--require-hashes" in line for line in installer.commands)
    assert installer.ran("-m venv") == 0


def test_a_setting_of_a_tool_installs_nothing(installer, checkout):
    bootstrap.install("run")
    with (checkout / "pyproject.toml").open("a") as file:
        file.write("\n[tool.other]\nsetting = 1\n")
    assert bootstrap.is_installed("run")


def test_a_renamed_checkout_gets_an_environment_of_its_own(installer, checkout, monkeypatch):
    bootstrap.install("run")
    installer.commands.clear()
    move_to(checkout.rename(checkout.with_name("renamed")), monkeypatch)
    bootstrap.install("run")
    assert installer.ran("-m venv") == 1


def test_another_python_gets_an_environment_of_its_own(installer, monkeypatch):
    bootstrap.install("run")
    installer.commands.clear()
    monkeypatch.setattr(sys.implementation, "cache_tag", "cpython-399")
    bootstrap.install("run")
    assert installer.ran("-m venv") == 1


@pytest.mark.parametrize("moment", ["-m venv", "--require-hashes", "--no-build-isolation"])
def test_an_interrupted_install_starts_over(installer, moment):
    installer.interrupted = moment
    with pytest.raises(KeyboardInterrupt):
        bootstrap.install("run")
    assert not bootstrap.is_installed("run")
    installer.commands.clear()
    installer.interrupted = "nothing"
    bootstrap.install("run")
    assert bootstrap.is_installed("run")
    assert installer.ran("-m venv") == 1


def test_an_interrupted_change_leaves_no_claim_of_what_was_there_before(installer, checkout):
    bootstrap.install("dev")
    lock = checkout / "requirements" / "dev.txt"
    before = lock.read_text()
    lock.write_text(before + "# newer\n")
    installer.interrupted = "--require-hashes"
    with pytest.raises(KeyboardInterrupt):
        bootstrap.install("dev")
    lock.write_text(before)
    assert not bootstrap.is_installed("dev")


@pytest.mark.parametrize("step", ["--require-hashes", "--no-build-isolation"])
def test_a_failed_step_is_no_install(installer, step):
    installer.failing = (step,)
    with pytest.raises(bootstrap.BootstrapError):
        bootstrap.install("run")
    assert not bootstrap.is_installed("run")


def test_a_broken_record_counts_as_none(installer):
    bootstrap.install("run")
    bootstrap.STATE.write_text('{"lock": "ru')
    assert not bootstrap.is_installed("run")


# The ways to install


def ways(monkeypatch: pytest.MonkeyPatch, *there: str) -> None:
    """Let only these ways be there."""
    find = bootstrap.importlib.util.find_spec
    monkeypatch.setattr(
        bootstrap.importlib.util,
        "find_spec",
        lambda name: find(name) if name in {"venv", *there} else None,
    )
    monkeypatch.setattr(
        bootstrap.shutil, "which", lambda name: f"/bin/{name}" if name in there else None
    )


def test_uv_is_taken_where_it_is_there(installer, monkeypatch):
    ways(monkeypatch, "uv", "ensurepip", "pip")
    bootstrap.install("run")
    assert installer.ran("/bin/uv pip install --python") == 2


def test_pip_has_the_last_word_where_uv_fails(installer, monkeypatch):
    ways(monkeypatch, "uv", "ensurepip", "pip")
    installer.failing = ("/bin/uv",)
    bootstrap.install("run")
    assert installer.ran(f"{bootstrap.PYTHON} -m pip install") == 2


def test_where_uv_fails_and_no_pip_is_there_the_reason_is_uvs(installer, monkeypatch):
    ways(monkeypatch, "uv")
    installer.failing = ("/bin/uv", "-m pip --version")
    monkeypatch.setattr(bootstrap, "failure", lambda: "no such wheel")
    with pytest.raises(bootstrap.BootstrapError, match=r"^no such wheel$"):
        bootstrap.install("run")


def test_the_pip_of_this_python_installs_where_there_is_no_ensurepip(installer, monkeypatch):
    ways(monkeypatch, "pip")
    installer.failing = ("-m pip --version",)  # there is none in the environment yet
    bootstrap.install("run")
    assert installer.ran(f"-m pip --python {bootstrap.PYTHON} install") == 2


def test_without_any_pip_the_package_that_mends_it_is_named(installer, monkeypatch):
    ways(monkeypatch)
    installer.failing = ("-m pip --version",)
    with pytest.raises(bootstrap.BootstrapError, match="apt install python3-venv"):
        bootstrap.install("run")


def test_pip_comes_out_of_the_distributions_archive_where_python_has_none(installer, monkeypatch):
    ways(monkeypatch, "apt-get")
    installer.failing = ("-m pip --version",)

    def archive(command, folder=None) -> bool:
        if "python3-pip-whl" in " ".join(command):
            wheels = folder / "usr" / "share" / "python-wheels"
            wheels.mkdir(parents=True)
            (wheels / "pip-23.0-py3-none-any.whl").touch()
        return installer(command)

    monkeypatch.setattr(bootstrap, "logged", archive)
    bootstrap.install("run")
    assert installer.ran("pip-23.0-py3-none-any.whl/pip install") == 2
    assert not (bootstrap.WORKSHOP / "apt").exists()


def test_settings_that_lead_elsewhere_are_kept_from_the_install(checkout, monkeypatch):
    bootstrap.WORKSHOP.mkdir()
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_PROXY", "kept")
    assert bootstrap.logged(["env"], checkout)
    log = bootstrap.LOG.read_text()
    assert "PIP_TARGET" not in log
    assert "PIP_PROXY=kept" in log


def test_installs_in_one_checkout_wait_for_each_other(checkout):
    bootstrap.WORKSHOP.mkdir()
    with bootstrap.one_at_a_time():
        busy = subprocess.run(["flock", "-n", bootstrap.WORKSHOP / "lock", "true"], check=False)
    free = subprocess.run(["flock", "-n", bootstrap.WORKSHOP / "lock", "true"], check=False)
    assert (busy.returncode, free.returncode) == (1, 0)


def test_an_installer_that_outlives_its_start_keeps_the_lock(checkout):
    bootstrap.WORKSHOP.mkdir()
    with bootstrap.one_at_a_time():
        bootstrap.logged(["sh", "-c", "sleep 30 & echo $! >sleeper"], bootstrap.WORKSHOP)
    sleeper = int((bootstrap.WORKSHOP / "sleeper").read_text())
    try:
        busy = subprocess.run(["flock", "-n", bootstrap.WORKSHOP / "lock", "true"], check=False)
        assert busy.returncode == 1
    finally:
        os.kill(sleeper, 15)


# Running


def test_demo_becomes_the_server_from_any_working_directory(checkout, tmp_path):
    scripts = checkout / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "python").symlink_to(sys.executable)
    (scripts / "connectory").write_text('#!/bin/sh\npwd\nprintf "[%s]" "$@"\nexit 7\n')
    (scripts / "connectory").chmod(0o755)
    subprocess.run(
        [sys.executable, "-c", "import bootstrap; bootstrap.record('run')"],
        cwd=checkout,
        check=True,
    )
    ran = run_script(checkout, "demo", "--port", "0", "two words", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (7, "")
    assert ran.stdout == f"{checkout}\n[serve][--demo][--port][0][two words]"
