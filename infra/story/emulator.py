"""An AWS of its own: one ministack process, one folder, one port."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config

ACCOUNT = "000000000000"
REGION = "us-east-1"
START_SECONDS = 60


class Emulator:
    """Runs while the `with` block does. With `iam`, policies are enforced and all is TLS."""

    def __init__(self, folder: Path, iam: bool):
        self.folder, self.iam = folder, iam
        self.port = free_port()
        self.endpoint = f"{'https' if iam else 'http'}://127.0.0.1:{self.port}"
        self.ca = folder / "ca.pem"

    def __enter__(self):
        self.folder.mkdir(parents=True)
        if self.iam:
            make_certificate(self.folder)
        self.log = open(self.folder / "ministack.log", "w")
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).parent / "server.py"],
            env=self.server_environment(),
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.wait()
        return self

    def __exit__(self, *_):
        # The functions it started are in its group. It may linger on a polite signal.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(f"the emulator ended: {self.folder}/ministack.log says why")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.1)
        raise SystemExit("the emulator did not start")

    def server_environment(self) -> dict:
        settings = {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "STATE_DIR": str(self.folder / "state"),
            "S3_DATA_DIR": str(self.folder / "s3"),
            "TMPDIR": str(self.folder),
            # Functions inherit these: they find the emulator and trust it.
            "AWS_ENDPOINT_URL": self.endpoint,
        }
        if self.iam:
            settings |= {
                "AUTH": "true",
                "USE_SSL": "1",
                "MINISTACK_SSL_CERT": str(self.folder / "cert.pem"),
                "MINISTACK_SSL_KEY": str(self.folder / "key.pem"),
                "SSL_CERT_FILE": str(self.ca),
            }
        return plain_environment() | settings

    def client_environment(self) -> dict:
        """What the CDK needs to talk to the emulator as the account's root."""
        settings = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "CDK_HOME": str(self.folder / "cdk-home"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            **({"NODE_EXTRA_CA_CERTS": str(self.ca), "AWS_CA_BUNDLE": str(self.ca)} if self.iam else {}),
        }
        return plain_environment() | settings

    def client(self, service: str, credentials: dict | None = None):
        """A boto3 client of root, or of whoever these credentials are."""
        keys = credentials or {"AccessKeyId": "test", "SecretAccessKey": "test"}
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            verify=str(self.ca) if self.iam else None,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def aws(self) -> Path:
        """A folder with `aws`: the AWS CLI, which forgets the endpoint of its environment for SQS."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        command = folder / "aws"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m awscli --endpoint-url {self.endpoint} "$@"\n')
        command.chmod(0o755)
        return folder

    def shell(self, line: str):
        """Runs a line as docs/deploy.md has it."""
        environment = self.client_environment()
        environment["PATH"] = os.pathsep.join([str(self.aws()), environment["PATH"]])
        done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"`{line}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def assume(self, role: str) -> dict:
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        return self.client("sts").assume_role(RoleArn=arn, RoleSessionName="story")["Credentials"]


def plain_environment() -> dict:
    """Ours, without anything that points at a real account."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def make_certificate(folder: Path):
    """A CA, and a certificate of the emulator signed by it: Rust's TLS takes no CA as a server's own."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
    openssl("req", "-x509", *new, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=story")
    (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    openssl("req", *new, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost")
    signed_by = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-extfile", "san"]
    openssl("x509", "-req", "-in", "request.pem", "-out", "cert.pem", "-days", "2", *signed_by)
