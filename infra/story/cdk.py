"""The real CDK, told to deploy onto the emulator."""

import json
import re
import subprocess
from pathlib import Path

from emulator import ACCOUNT, REGION, Emulator

INFRA = Path(__file__).resolve().parent.parent
SECONDS = 600


class Cdk:
    """Runs `cdk` with one set of settings."""

    def __init__(self, emulator: Emulator, zips: Path, **settings: str):
        self.emulator = emulator
        settings = {"arch": "x86_64", "artifacts": str(zips)} | settings
        self.context = [f"-c=flambeau:{key}={value}" for key, value in settings.items()]

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Answers what it printed; fails when it ends otherwise than expected."""
        out = self.emulator.folder / "cdk.out"
        command = ["node_modules/.bin/cdk", *arguments, *self.context, "--no-notices", f"--output={out}"]
        ended = subprocess.run(
            command,
            cwd=INFRA,
            env=self.emulator.client_environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        printed = ended.stdout + ended.stderr
        (self.emulator.folder / f"cdk-{arguments[0]}.log").write_text(printed)
        if ended.returncode != expect:
            raise SystemExit(f"cdk {arguments[0]} ended with {ended.returncode}:\n{printed[-4000:]}")
        return printed

    def bootstrap(self):
        self.run("bootstrap", f"aws://{ACCOUNT}/{REGION}")

    def deploy(self) -> dict:
        """Deploys and answers the stack's outputs."""
        file = self.emulator.folder / "outputs.json"
        self.run("deploy", "--require-approval=never", f"--outputs-file={file}")
        (outputs,) = json.loads(file.read_text()).values()
        return outputs


def output(outputs: dict, part: str) -> str:
    """The one output whose id begins so (and goes on with CDK's hash)."""
    found = [value for name, value in outputs.items() if re.fullmatch(f"{part}[0-9A-F]{{0,8}}", name)]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} outputs are called {part}: {sorted(outputs)}")
    return found[0]
