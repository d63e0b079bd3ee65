"""From snapshots in the bucket to a flame graph, and what must be true on the way."""

import datetime
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.parse
import urllib.error
import urllib.request
from pathlib import Path

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import pprof
from cdk import INFRA, output
from emulator import REGION, Emulator

DATA = INFRA.parent / "tests" / "data"
PROFILES = ["go-cpu.pb.gz", "go-cpu-500hz.pb.gz", "go-cpu-idle.pb.gz"]
PUSHED = "go-heap-1.pb.gz"
CONTRACT = json.loads((INFRA / "lib" / "contract.json").read_text())
# Rows of every level that no coarser one covers yet.
OPEN = CONTRACT["rows"]["hinted"].split("/")[0] + "/"
WAIT_SECONDS = 180


def check(truth: bool, what: str):
    if not truth:
        raise SystemExit(f"NOT TRUE: {what}")
    print(f"    {what}", flush=True)


def wait_for(what: str, look):
    """Looks until there is something; the deadline is only for what never comes."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    raise SystemExit(f"waited {WAIT_SECONDS} s in vain for {what}")


def snapshot_key(tenant: str, service: str, seq: int) -> str:
    date = datetime.datetime.now(datetime.timezone.utc).date()
    return f"{CONTRACT['prefixes']['snapshots']}{tenant}/{service}/{date}/env1.boot1.{seq}.cpu.pb.gz"


def upload(s3, bucket: str, tenant: str, service: str):
    """As an instrumented function does: one object per snapshot, never twice."""
    for seq, name in enumerate(PROFILES):
        s3.put_object(
            Bucket=bucket,
            Key=snapshot_key(tenant, service, seq),
            Body=(DATA / name).read_bytes(),
            IfNoneMatch="*",
        )


def wait_for_rows(emulator: Emulator, prefix: str, tenant: str, service: str) -> list[dict]:
    """The rows of blocks that hold all snapshots, however many merges there were."""
    tables, dynamo = CONTRACT["tables"], emulator.client("dynamodb")
    blocks = tables["blocks"]

    def look():
        answer = dynamo.query(
            TableName=prefix + blocks["suffix"],
            KeyConditionExpression="#p = :p AND begins_with(#s, :open)",
            ExpressionAttributeNames={"#p": blocks["partition"], "#s": blocks["sort"]},
            ExpressionAttributeValues={":p": {"S": f"{tenant}/{service}"}, ":open": {"S": OPEN}},
        )
        rows = [json.loads(item["doc"]["S"]) for item in answer["Items"] if "covered_by" not in item]
        return rows if sum(row["snapshots"] for row in rows) == len(PROFILES) else None

    return wait_for(f"rows of {tenant}/{service}", look)


def wait_for_catalogue(emulator: Emulator, prefix: str, tenant: str, service: str):
    """Only index writes it, so it shows that the stream woke index."""
    blocks, dynamo = CONTRACT["tables"]["blocks"], emulator.client("dynamodb")
    key = {blocks["partition"]: {"S": CONTRACT["rows"]["catalogue"] + tenant}, blocks["sort"]: {"S": service}}
    table = prefix + blocks["suffix"]
    wait_for("the catalogue", lambda: dynamo.get_item(TableName=table, Key=key).get("Item"))


def ask(emulator: Emulator, url: str, path: str, credentials: dict | None) -> tuple[int, dict, bytes]:
    """GET of a Function URL, signed (or with a token) unless without credentials. The emulator finds it by its Host."""
    host = urllib.parse.urlsplit(url).hostname
    request = AWSRequest("GET", f"{emulator.endpoint}{path}", headers={"Host": host})
    if credentials and "Bearer" in credentials:
        request.headers["Authorization"] = f"Bearer {credentials['Bearer']}"
    elif credentials:
        keys = [credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials.get("SessionToken")]
        SigV4Auth(Credentials(*keys), "lambda", REGION).add_auth(request)
    context = None
    if emulator.iam:
        context = ssl.create_default_context(cafile=str(emulator.ca))
    sent = urllib.request.Request(request.url, headers=dict(request.headers))
    try:
        with urllib.request.urlopen(sent, context=context) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def open_url(emulator: Emulator, flambeau: Path, url: str) -> tuple[subprocess.Popen, str]:
    """`flambeau open`: answers the process and the loopback address that signs."""
    host = urllib.parse.urlsplit(url).hostname
    near = urllib.parse.urlsplit(emulator.endpoint).netloc
    command = [flambeau, "open", "--url", f"http://{host}/", "--connect", near, "--region", REGION, "--listen", "127.0.0.1:0"]
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **keys})
    return process, process.stdout.readline().split()[1]


def look_through_open(emulator: Emulator, flambeau: Path, url: str, expected):
    """Unsigned requests to loopback answer as signed ones to the URL do; `go tool pprof` too, where it is."""
    process, near = open_url(emulator, flambeau, url)
    try:
        with urllib.request.urlopen(f"{near}/s/shop/cpu") as answer:
            check(pprof.totals(answer.read()) == expected, "flambeau open signs: the same profile through loopback")
        if shutil.which("go"):
            command = ["go", "tool", "pprof", "-top", f"{near}/s/shop/cpu"]
            done = subprocess.run(command, capture_output=True, text=True, cwd=emulator.folder)
            check(done.returncode == 0 and "flat%" in done.stdout, "go tool pprof opens it through loopback")
    finally:
        process.kill()
        process.wait()


def in_process(flambeau: Path, folder: Path, names: list[str] = PROFILES) -> bytes:
    """The same profiles, merged by the CLI without any AWS."""
    out = folder / "in-process.pb.gz"
    subprocess.run([flambeau, "merge", "--out", out, *(DATA / name for name in names)], check=True, capture_output=True)
    return out.read_bytes()


def push_and_look(emulator: Emulator, outputs: dict, flambeau: Path):
    """`flambeau push` of a heap profile, which waits for its fate; pushed again it is known."""
    place = {"FLAMBEAU_BUCKET": outputs["BucketName"], "FLAMBEAU_TABLE": "Flambeau"}
    command = [flambeau, "push", DATA / PUSHED, "--service", "pushed"]
    for fate in ("1 accepted", "1 already there"):
        done = subprocess.run(command, env=emulator.client_environment() | place, capture_output=True, text=True)
        check(done.returncode == 0 and fate in done.stdout, f"flambeau push: {done.stdout.strip() or done.stderr}")
    root = {"AccessKeyId": "test", "SecretAccessKey": "test"}
    status, _, body = ask(emulator, output(outputs, "RenderUrl"), "/s/pushed/heap", root)
    expected = pprof.totals(in_process(flambeau, emulator.folder, [PUSHED]))
    check(status == 200 and pprof.totals(body) == expected, f"the URL shows what was pushed, {len(expected)} stacks and types")


def give_token(emulator: Emulator, outputs: dict, flambeau: Path) -> dict:
    """Before there is a secret nobody is let in; `flambeau token` makes it and lets one in."""
    url, place = output(outputs, "RenderUrl"), output(outputs, "RenderSecretPlace")
    status, _, body = ask(emulator, url, "/", {"Bearer": "guess"})
    check(status == 503 and b"flambeau token" in body, "without a secret nobody is let in, and it says what makes one")
    command = [flambeau, "token", "--name", "story", "--secret", place]
    done = subprocess.run(command, env=emulator.client_environment(), capture_output=True, text=True)
    check(done.returncode == 0, f"flambeau token makes a secret and a token ({done.stderr.strip()})")
    status, _, _ = ask(emulator, url, "/", {"Bearer": "guess"})
    check(status == 401, "a token that was not given lets nobody in")
    return {"Bearer": done.stdout.strip()}


def look_by_link(emulator: Emulator, outputs: dict, flambeau: Path):
    """`flambeau link` lets anybody look at one answer, and at no other."""
    url, place = output(outputs, "RenderUrl"), output(outputs, "RenderSecretPlace")
    command = [flambeau, "link", f"{url}s/shop/cpu?format=svg", "--for", "5m", "--secret", place]
    done = subprocess.run(command, env=emulator.client_environment(), capture_output=True, text=True)
    check(done.returncode == 0, f"flambeau link signs an address {done.stderr.strip()}")
    link = urllib.parse.urlsplit(done.stdout.strip())
    status, _, body = ask(emulator, url, f"{link.path}?{link.query}", None)
    check(status == 200 and b"<svg" in body, "whoever has the link sees the flame graph")
    status, _, _ = ask(emulator, url, f"/s/shop/heap?{link.query}", None)
    check(status == 403, "and nothing else")


def upload_and_look(emulator: Emulator, outputs: dict, flambeau: Path, writer: dict | None, reader: dict | None):
    """Snapshots in, merged profile and picture out, equal to what the CLI makes of the same files."""
    root = {"AccessKeyId": "test", "SecretAccessKey": "test"}
    bucket, url = outputs["BucketName"], output(outputs, "RenderUrl")
    upload(emulator.client("s3", writer), bucket, "default", "shop")
    rows = wait_for_rows(emulator, "Flambeau", "default", "shop")
    check(True, f"{len(PROFILES)} snapshots are merged into {len(rows)} blocks with their rows")
    wait_for_catalogue(emulator, "Flambeau", "default", "shop")
    check(True, "the stream woke index: the catalogue knows the service")
    by_token = "Bearer" in (reader or {})
    status, _, _ = ask(emulator, url, "/s/shop/cpu", None)
    check(status == (401 if by_token else 403), "the Function URL refuses who carries nothing")
    status, headers, body = ask(emulator, url, "/s/shop/cpu", reader or root)
    check(status == 200, f"the URL answers who does ({headers.get('x-flambeau-answered', 'no note')})")
    expected = pprof.totals(in_process(flambeau, emulator.folder))
    check(len(expected) > 10, f"the in-process merge has {len(expected)} stacks and types")
    check(pprof.totals(body) == expected, "the deployed merge equals the in-process one, stack by stack")
    if not emulator.iam and not by_token:
        look_through_open(emulator, flambeau, url, expected)
    status, headers, body = ask(emulator, url, "/s/shop/cpu?format=svg", reader or root)
    kind = {name.lower(): value for name, value in headers.items()}.get("content-type")
    check((status, kind) == (200, "image/svg+xml") and b"<svg" in body, f"a flame graph of {len(body)} bytes")
