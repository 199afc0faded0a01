"""Where there is no network of its own, Node's programs listen elsewhere than they say."""

import json
import os
import subprocess

import pytest

from connectory.containment.port import PRELOAD, moved
from tests.containment.conftest import answer, free_port, node

ALL_FORMS = """
const net = require('node:net'), http = require('node:http');
const forms = {
  number: (server, up) => server.listen(8080, up),
  string: (server, up) => server.listen('8080', up),
  host: (server, up) => server.listen(8080, '0.0.0.0', up),
  'host and backlog': (server, up) => server.listen(8080, '::', 10, up),
  backlog: (server, up) => server.listen(8080, 10, up),
  'no host': (server, up) => server.listen(8080, undefined, up),
  options: (server, up) => server.listen({ port: 8080, host: '::', ipv6Only: true }, up),
  'options as text': (server, up) => server.listen({ port: '8080' }, up),
  http: (_, up) => http.createServer().listen(8080, up),
  other: (server, up) => server.listen(0, up),
  path: (server, up) => server.listen(process.env.SOCKET, up),
};
(async () => {
  for (const [name, form] of Object.entries(forms)) {
    await new Promise((done) => {
      const server = form(net.createServer(), function () {
        console.log(JSON.stringify([name, this.address()]));
        this.close(done);
      });
    });
  }
})();
"""
CLUSTER = """
const cluster = require('node:cluster');
if (cluster.isPrimary) {
  cluster.fork();
} else {
  require('node:http').createServer((_, response) => response.end('worker')).listen(8080);
}
"""
MODULE = """
import { createServer } from 'node:http';
createServer((_, response) => response.end('module')).listen(8080);
"""


def test_every_form_of_listen_is_moved_and_no_other_port(tmp_path):
    port = free_port()
    environment = moved({"PATH": os.environ["PATH"]}, port, str(PRELOAD))
    environment["SOCKET"] = str(tmp_path / "socket")
    ran = subprocess.run(
        [node(), "-e", ALL_FORMS], env=environment, capture_output=True, check=True, text=True
    )
    told = dict(json.loads(line) for line in ran.stdout.splitlines())
    assert told.pop("path") == environment["SOCKET"]
    assert told.pop("other")["port"] != port
    assert len(told) == 9
    assert {(each["address"], each["port"]) for each in told.values()} == {("127.0.0.1", port)}


@pytest.mark.parametrize(
    ("script", "options", "answered"),
    [(CLUSTER, [], "worker"), (MODULE, ["--input-type=module"], "module")],
)
def test_workers_and_modules_are_moved_too(script, options, answered, tmp_path):
    port = free_port()
    environment = moved({"PATH": os.environ["PATH"]}, port, str(PRELOAD))
    program = tmp_path / ("program.mjs" if options else "program.cjs")
    program.write_text(script)
    with subprocess.Popen([node(), program], env=environment, start_new_session=True) as running:
        try:
            assert answer(port) == answered
        finally:
            os.killpg(running.pid, 9)


def test_options_of_the_program_stay():
    environment = moved({"NODE_OPTIONS": "--max-old-space-size=100"}, 1, "/a folder/x.cjs")
    assert environment["NODE_OPTIONS"] == '--require "/a folder/x.cjs" --max-old-space-size=100'
