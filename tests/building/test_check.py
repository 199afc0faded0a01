"""The build check of previews and publishes is the builder."""

import time

import pytest

from connectory import specification
from connectory.staging.checks.build import BuildCheck, in_one_line, tree_hash
from connectory.staging.checks.model import LONGEST_LINE, Outcome, Source
from connectory.staging.checks.policy import Policy
from tests.building.conftest import EXAMPLES, SERVER, package


def source(tree, **more):
    reading = specification.read((tree / "connect.yaml").read_bytes())
    assert reading.specification is not None
    return Source(root=tree, specification=reading.specification, **more)


def test_a_connector_whose_applications_are_built_succeeds(bench):
    result = BuildCheck(Policy(), bench.builds).run(source(EXAMPLES / "assets"))
    assert result.entry_title == "Connector image build check succeeded"
    assert result.entry_message == ""


def test_each_application_that_cannot_be_built_is_an_error(bench):
    result = BuildCheck(Policy(), bench.builds).run(source(EXAMPLES / "missing-folder"))
    assert result.outcome is Outcome.FAILED
    assert result.entry_message.startswith(
        "updater: error[application-folder-missing] high: the repository has no folder updater"
    )


def test_the_last_lines_of_a_long_output_are_told(bench):
    tree = bench.tree(
        **{
            "package.json": package(
                scripts={"build": "seq 10000 10060; echo the cause; exit 4", "start": "x"}
            )
        }
    )
    (tree / "connect.yaml").write_text((EXAMPLES / "typescript" / "connect.yaml").read_text())
    [told] = BuildCheck(Policy(), bench.builds).run(source(tree)).entry_message.splitlines()
    assert "npm run build failed; exit code 4" in told
    assert "the cause" in told
    assert len(told) <= LONGEST_LINE
    assert len(in_one_line("x" * 10_000)) < LONGEST_LINE


def test_warnings_of_a_build_do_not_fail_it(bench):
    tree = bench.tree(**{"package.json": package(engines={"node": "4.0.0"}), "index.js": SERVER})
    (tree / "connect.yaml").write_text((EXAMPLES / "typescript" / "connect.yaml").read_text())
    result = BuildCheck(Policy(), bench.builds).run(source(tree))
    assert result.outcome is Outcome.SUCCEEDED
    assert result.entry_type == "Warning"
    assert "warning[toolchain-chosen] low: " in result.entry_message


def test_what_the_check_has_built_is_what_a_deployment_finds(bench):
    tree = EXAMPLES / "hard-coded-port"
    more = {"commit": "4" * 40, "origin": "https://git.example/connector.git"}
    BuildCheck(Policy(), bench.builds).run(source(tree, **more))
    bench.build(tree, source=more["commit"], origin=more["origin"])
    assert bench.titles == ["Built before"]


def test_merchant_center_applications_are_built_without_a_deployments_values(bench):
    script = "mkdir public; env > public/environment; test -n $CLOUD_IDENTIFIER"
    tree = bench.tree("mc", "mc", **{"package.json": package(scripts={"build": script})})
    (tree / "connect.yaml").write_text(
        """deployAs:
  - name: mc
    applicationType: merchant-center-custom-application
    configuration:
      standardConfiguration:
        - {key: CUSTOM_APPLICATION_ID, description: its id, required: true}
        - {key: CLOUD_IDENTIFIER, description: its cloud, default: aws-us}
        - {key: ENTRY_POINT_URI_PATH, description: its path, required: true}
"""
    )
    assert BuildCheck(Policy(), bench.builds).run(source(tree)).outcome is Outcome.SUCCEEDED
    [made] = bench.folder.glob("builds/artifacts/*/made/files/environment")
    assert "CLOUD_IDENTIFIER=aws-us\n" in made.read_text()
    assert "ENTRY_POINT_URI_PATH=entry-point\n" in made.read_text()


def test_where_builds_are_refused_it_is_skipped_and_says_why(bench):
    result = BuildCheck(Policy(), bench.builds, lambda _: "nothing confines builds here").run(
        source(EXAMPLES / "assets")
    )
    assert result.entry_title == "Connector image build check skipped"
    assert result.entry_message == "the applications were not built: nothing confines builds here"


@pytest.mark.parametrize("change", ["content", "name", "mode"])
def test_a_tree_that_is_no_commit_is_told_by_all_that_is_in_it(bench, change):
    tree = bench.tree(**{"index.js": SERVER})
    before = tree_hash(tree)
    assert tree_hash(tree) == before
    file = tree / "service" / "index.js"
    if change == "content":
        file.write_text("other")
    elif change == "name":
        file.rename(file.with_name("main.js"))
    else:
        file.chmod(0o755)
    assert tree_hash(tree) != before


def test_a_check_that_nobody_waits_for_any_more_ends_at_once(bench):
    scripts = {"build": "echo begun; sleep 60", "start": "x"}
    tree = bench.tree(**{"package.json": package(scripts=scripts)})
    (tree / "connect.yaml").write_text((EXAMPLES / "typescript" / "connect.yaml").read_text())
    begun = time.monotonic()
    cancelled = source(tree, cancelled=lambda: bool(bench.containment.started))
    result = BuildCheck(Policy(), bench.builds).run(cancelled)
    assert time.monotonic() - begun < 20
    assert "error[build-cancelled]" in result.entry_message
    assert bench.left_over() == []
