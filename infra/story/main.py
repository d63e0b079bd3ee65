"""The deploy story: by the CDK, by the CDK with IAM enforced, beside an existing bucket, and by hand. See run.sh."""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import byhand
import flow
import matrix
from cdk import Cdk, output
from emulator import Emulator
from flow import check

REFUSAL = "TheFunctionsAreNotBuilt"


def timed(what: str, run):
    began = time.monotonic()
    answer = run()
    print(f"  {what}: {time.monotonic() - began:.1f} s", flush=True)
    return answer


def nothing_left(emulator: Emulator) -> bool:
    tables = emulator.client("dynamodb").list_tables()["TableNames"]
    functions = emulator.client("lambda").list_functions()["Functions"]
    queues = emulator.client("sqs").list_queues().get("QueueUrls", [])
    buckets = [one["Name"] for one in emulator.client("s3").list_buckets()["Buckets"]]
    left = [*tables, *functions, *queues, *(name for name in buckets if not name.startswith("cdk-"))]
    return not left


def story(emulator: Emulator, zips: Path, flambeau: Path):
    """From nothing to a flame graph and back to nothing."""
    timed("bootstrap", Cdk(emulator, zips).bootstrap)
    printed = timed("deploy without functions", lambda: Cdk(emulator, emulator.folder / "none").run("deploy", expect=1))
    check(REFUSAL in printed and not emulator.client("lambda").list_functions()["Functions"], "placeholders are refused before anything is made")
    cdk = Cdk(emulator, zips)
    outputs = timed("deploy", cdk.deploy)
    resources = emulator.client("cloudformation").describe_stack_resources(StackName="Flambeau")["StackResources"]
    check(len(resources) > 30, f"{len(resources)} resources")
    timed("snapshots to flame graph", lambda: flow.upload_and_look(emulator, outputs, flambeau, None, None))
    timed("push", lambda: flow.push_and_look(emulator, outputs, flambeau))
    timed("diff", lambda: cdk.run("diff", "--fail"))
    printed = timed("deploy again", lambda: cdk.run("deploy", "--require-approval=never"))
    check("no changes" in printed, "deploying again changes nothing")
    emulator.shell(f"aws s3 rm s3://{outputs['BucketName']} --recursive")
    timed("destroy", lambda: cdk.run("destroy", "--force"))
    check(nothing_left(emulator), "destroy leaves nothing behind")


def under_iam(emulator: Emulator, zips: Path, flambeau: Path):
    """The same flow under the roles' own policies, then everything they could try."""
    cdk = Cdk(emulator, zips, tenants="default,other")
    timed("bootstrap", cdk.bootstrap)
    outputs = timed("deploy", cdk.deploy)
    resources = emulator.client("cloudformation").describe_stack_resources(StackName="Flambeau")["StackResources"]
    named = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources}

    def only(part: str) -> str:
        (found,) = [physical for logical, physical in named.items() if logical[:-8] == part]
        return found

    make = lambda name, part: matrix.make_role(emulator, name, output(outputs, part))
    roles = {
        "writer of default": make("writer", "WritersArn"),
        "writer of other": make("writer2", "Writers2Arn"),
        "reader of default": make("reader", "RenderReadersArn"),
        "merge": only("MergeFunctionRole"),
        "index": only("IndexFunctionRole"),
        "render of default": only("RenderFunctionRole"),
        "render of other": only("Render2FunctionRole"),
    }
    other_reader = make("reader2", "Render2ReadersArn")
    writer, reader = emulator.assume(roles["writer of default"]), emulator.assume(roles["reader of default"])
    timed("snapshots to flame graph", lambda: flow.upload_and_look(emulator, outputs, flambeau, writer, reader))
    urls = {"default": output(outputs, "RenderUrl"), "other": output(outputs, "Render2Url")}
    matrix.readers_meet_their_tenant(emulator, urls, {"default": roles["reader of default"], "other": other_reader})
    queues = {"queue": only("MergeQueue"), "dead": only("MergeDeadLetters"), "lost": only("IndexLostHints")}
    count = timed("matrix", lambda: matrix.try_all(emulator, outputs, roles, queues))
    check(count > 0, f"{count} calls of {len(roles)} roles tried")


def existing(emulator: Emulator, zips: Path, flambeau: Path):
    """Beside a bucket that was there before (its events come by EventBridge, and it stays), and open to who has a token."""
    cdk = Cdk(emulator, zips, bucketName="mine", access="token")
    emulator.client("s3").create_bucket(Bucket="mine")
    configuration = '{"EventBridgeConfiguration":{}}'
    emulator.shell(f"aws s3api put-bucket-notification-configuration --bucket mine --notification-configuration '{configuration}'")
    timed("bootstrap", cdk.bootstrap)
    outputs = timed("deploy", cdk.deploy)
    token = timed("token", lambda: flow.give_token(emulator, outputs, flambeau))
    timed("snapshots to flame graph", lambda: flow.upload_and_look(emulator, outputs, flambeau, None, token))
    timed("link", lambda: flow.look_by_link(emulator, outputs, flambeau))
    timed("destroy", lambda: cdk.run("destroy", "--force"))
    check(not nothing_left(emulator), "the bucket stays")
    emulator.shell("aws s3 rb s3://mine --force")
    check(nothing_left(emulator), "and nothing else")


def by_hand(emulator: Emulator, zips: Path, flambeau: Path):
    """The same stack without the CDK, under roles made by hand that may do as much as the CDK's."""
    path = byhand.tools()
    if not path:
        print("  SKIPPED: there is no cargo-lambda", flush=True)
        return
    outputs = timed("make by hand", lambda: byhand.make(emulator, path, zips))
    timed("snapshots to flame graph", lambda: flow.upload_and_look(emulator, outputs, flambeau, None, None))
    timed("matrix", lambda: matrix.try_all(emulator, outputs, byhand.roles(), byhand.queues(emulator)))
    timed("remove by hand", lambda: byhand.remove(emulator, path, zips))
    check(nothing_left(emulator), "nothing is left behind")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zips", type=Path, required=True)
    parser.add_argument("--flambeau", type=Path, required=True)
    parser.add_argument("--only", choices=["plain", "iam", "existing", "by-hand"])
    parser.add_argument("--keep", action="store_true", help="keep the emulator's folder with all logs")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="flambeau-story-"))
    began = time.monotonic()
    parts = {"plain": (False, story), "iam": (True, under_iam), "existing": (False, existing), "by-hand": (True, by_hand)}
    for name, (iam, run) in parts.items():
        if given.only in (None, name):
            print(f"{name}: {folder / name}", flush=True)
            with Emulator(folder / name, iam) as emulator:
                run(emulator, given.zips.resolve(), given.flambeau.resolve())
    print(f"the deploy story is true; {time.monotonic() - began:.0f} s")
    if not given.keep:
        shutil.rmtree(folder, ignore_errors=True)


main()
