"""A folder for one session, and the servers as they are started in it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import script

HERE = Path(__file__).parent
# What the bridge lets through to a server; a server alone gets no more.
PASSED = ("HOME", "PATH", "LANG", "TMPDIR", "USER", "LOGNAME", "SHELL", "TERM")
ROOTS = '"result":{"roots":[{"uri":"file:///srv/a","name":"é"},{"uri":"file:///srv/b","_meta":{"k":1.0}}]}'
ELICITED = '"result":{"action":"accept","content":{"name":"Zoë","agreeToTerms":true}}'
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
DATED = {"GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z"}


@dataclass
class Server:
    args: list
    script: object
    env: dict = field(default_factory=dict)
    capabilities: dict = field(default_factory=dict)
    answers: dict = field(default_factory=dict)


class Place:
    """A folder of its own. Two places with the same servers in them differ in nothing but the folder's name."""

    def __init__(self, rooms, number):
        self.root = Path(rooms) / f"p{number:03}"
        self.root.mkdir(parents=True)
        self.stderr = open(self.root / "stderr", "w")

    def server(self, name):
        return getattr(self, "_" + name)()

    def environment(self, more=None):
        return {key: os.environ[key] for key in PASSED if key in os.environ} | (more or {})

    def config(self, servers):
        """Writes the bridge's configuration; JSON's strings and lists are TOML's too."""
        file = self.root / "config.toml"
        with open(file, "w") as out:
            for name, server in servers.items():
                out.write(f"[servers.{name}]\ncommand = {json.dumps(server.args[0])}\nargs = {json.dumps(server.args[1:])}\n")
                pairs = ", ".join(f"{key} = {json.dumps(value)}" for key, value in server.env.items())
                out.write(f"env = {{ {pairs} }}\n\n")
        return str(file)

    def _node(self, package, folder="wire"):
        home = os.environ["E2E_HOME"]
        return ["node", f"{home}/{folder}/node_modules/@modelcontextprotocol/{package}/dist/index.js"]

    def _python(self, folder):
        return [f"{os.environ['E2E_HOME']}/{folder}/python"]

    def _everything(self):
        capabilities = {"roots": {"listChanged": True}, "sampling": {}, "elicitation": {"form": {}, "url": {}}}
        answers = {"roots/list": ROOTS, "sampling/createMessage": script.SAMPLED, "elicitation/create": ELICITED}
        return Server(self._node("server-everything", "node"), script.everything, {}, capabilities, answers)

    def _filesystem(self):
        files = self.root / "files"
        files.mkdir()
        (files / "dot.png").write_bytes(PNG)
        os.utime(files / "dot.png", (1e9, 1e9))
        roots = f'"result":{{"roots":[{{"uri":"file://{files}"}}]}}'
        node = self._node("server-filesystem") + [str(files)]
        return Server(node, script.filesystem(str(files)), {}, {"roots": {}}, {"roots/list": roots})

    def _memory(self):
        return Server(self._node("server-memory"), script.memory, {"MEMORY_FILE_PATH": f"{self.root}/memory.jsonl"})

    def _time(self):
        return Server([*self._python("time"), "-m", "mcp_server_time", "--local-timezone", "UTC"], script.time)

    def _git(self):
        repository = self.root / "repo"
        repository.mkdir()
        file = repository / "a.txt"
        file.write_text("one\n")
        steps = ("init -q -b main", "config user.name E2E", "config user.email e2e@example.com", "add a.txt", "commit -q -m First")
        for step in steps:
            subprocess.run(["git", "-C", str(repository), *step.split()], check=True, env=os.environ | GIT | DATED)
        file.write_text("one\nzwei é\n")
        args = ["-m", "mcp_server_git", "--repository", str(repository)]
        return Server([*self._python("git"), *args], script.git(str(repository)), GIT)

    def _odd(self, *more):
        answers = {"sampling/createMessage": script.SAMPLED}
        return Server([sys.executable, str(HERE / "odd.py"), *more], script.odd, {}, {"sampling": {}}, answers)

    def _odd2026(self):
        return self._odd("modern")

    def _broken(self):
        return Server(["false"], None)

    def _missing(self):
        return Server(["/no/such/program"], None)
