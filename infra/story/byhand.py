"""Without the CDK: the scripts of infra/by-hand, which are what docs/deploy.md tells to do by hand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cdk import INFRA
from emulator import Emulator

BUCKET, PREFIX = "flambeau-by-hand", "Flambeau"
SECONDS = 600


def tools() -> str | None:
    """A PATH with cargo-lambda of this venv, or nothing where there is none."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return path if shutil.which("cargo-lambda", path=path) and shutil.which("cargo", path=path) else None


def run(emulator: Emulator, script: str, path: str, zips: Path) -> str:
    """Runs one of the scripts; answers what it printed."""
    environment = emulator.client_environment() | {"TARGET": str(zips), "SSL_CERT_FILE": str(emulator.ca)}
    environment["PATH"] = os.pathsep.join([str(emulator.aws()), path])
    command = [INFRA / "by-hand" / script, BUCKET, PREFIX]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    (emulator.folder / f"{script}.log").write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        raise SystemExit(f"{script} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def make(emulator: Emulator, path: str, zips: Path) -> dict:
    """Makes everything; answers what a stack's outputs would."""
    printed = run(emulator, "make.sh", path, zips)
    return {"BucketName": BUCKET, "RenderUrl": printed.split()[-1]}


def remove(emulator: Emulator, path: str, zips: Path):
    run(emulator, "remove.sh", path, zips)


def roles() -> dict[str, str]:
    """The functions' roles, by the names that the matrix gives them."""
    names = {"merge": "merge", "index": "index", "render of default": "render"}
    return {who: f"{PREFIX}-{name}" for who, name in names.items()}


def queues(emulator: Emulator) -> dict[str, str]:
    """The queues' URLs, by the names that the matrix gives them."""
    sqs = emulator.client("sqs")
    names = {"queue": PREFIX, "dead": f"{PREFIX}-dead", "lost": f"{PREFIX}-lost"}
    return {who: sqs.get_queue_url(QueueName=name)["QueueUrl"] for who, name in names.items()}
