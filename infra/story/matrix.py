"""What each role may do and what not, tried by real calls under IAM enforcement."""

import json
from dataclasses import dataclass
from typing import Callable

from botocore.exceptions import ClientError

from emulator import ACCOUNT, Emulator
from flow import CONTRACT, ask, check

DENIALS = {"AccessDenied", "AccessDeniedException", "403", "Forbidden"}


@dataclass
class Call:
    """One call and whether the policy lets it through. What comes after the policy does not matter."""

    what: str
    allowed: bool
    make: Callable[[], object]

    def holds(self) -> bool:
        try:
            self.make()
            passed = True
        except ClientError as error:
            passed = error.response["Error"]["Code"] not in DENIALS
        return passed == self.allowed


class Role:
    """Everything a role could try."""

    def __init__(self, emulator: Emulator, name: str, bucket: str, queues: dict):
        keys = emulator.assume(name)
        self.keys, self.bucket, self.queues = keys, bucket, queues
        self.s3 = emulator.client("s3", keys)
        self.dynamo = emulator.client("dynamodb", keys)
        self.sqs = emulator.client("sqs", keys)

    def calls(self, allowed: set[str]) -> list[Call]:
        """All calls; those named are expected to pass, all others to be denied."""
        everything = {**self.objects(), **self.rows(), **self.messages()}
        unknown = allowed - everything.keys()
        if unknown:
            raise SystemExit(f"no such calls: {sorted(unknown)}")
        return [Call(what, what in allowed, make) for what, make in everything.items()]

    def objects(self) -> dict[str, Callable]:
        calls: dict[str, Callable] = {"list": lambda: self.s3.list_objects_v2(Bucket=self.bucket)}
        for name, prefix in CONTRACT["prefixes"].items():
            for tenant in ("default", "other"):
                at = {"Bucket": self.bucket, "Key": f"{prefix}{tenant}/probe/1"}
                calls[f"put {name} {tenant}"] = lambda at=at: self.s3.put_object(**at, Body=b"x", IfNoneMatch="*")
                calls[f"get {name} {tenant}"] = lambda at=at: self.s3.get_object(**at)
                calls[f"delete {name} {tenant}"] = lambda at=at: self.s3.delete_object(**at)
        mark = {"Bucket": self.bucket, "Key": f"{CONTRACT['prefixes']['segments']}default/probe/1.zip.commit"}
        calls["put mark"] = lambda: self.s3.put_object(**mark, Body=b"{}")
        outside = {"Bucket": self.bucket, "Key": "elsewhere"}
        calls["put elsewhere"] = lambda: self.s3.put_object(**outside, Body=b"x")
        return calls

    def rows(self) -> dict[str, Callable]:
        dynamo, calls = self.dynamo, {}
        for name in ("claims", "blocks"):
            table = CONTRACT["tables"][name]
            full = "Flambeau" + table["suffix"]
            key = {table["partition"]: {"S": "default/probe"}}
            if "sort" in table:
                key[table["sort"]] = {"S": "probe"}
            put = {"TableName": full, "Item": key}
            query = {
                "TableName": full,
                "KeyConditionExpression": "pk = :p",
                "ExpressionAttributeValues": {":p": {"S": "default/probe"}},
            }
            calls |= {
                f"GetItem {name}": lambda full=full, key=key: dynamo.get_item(TableName=full, Key=key),
                f"BatchGetItem {name}": lambda full=full, key=key: dynamo.batch_get_item(RequestItems={full: {"Keys": [key]}}),
                f"Query {name}": lambda query=query: dynamo.query(**query),
                f"Scan {name}": lambda full=full: dynamo.scan(TableName=full),
                f"PutItem {name}": lambda put=put: dynamo.put_item(**put),
                f"Transact {name}": lambda put=put: dynamo.transact_write_items(TransactItems=[{"Put": put}]),
                f"UpdateItem {name}": lambda full=full, key=key: dynamo.update_item(TableName=full, Key=key),
                f"DeleteItem {name}": lambda full=full, key=key: dynamo.delete_item(TableName=full, Key=key),
                f"DeleteTable {name}": lambda full=full: dynamo.delete_table(TableName=full),
            }
        return calls

    def messages(self) -> dict[str, Callable]:
        calls = {}
        for name, url in self.queues.items():
            # The emulator keeps messages out of sight only briefly: nothing of ours is waiting now.
            calls[f"receive {name}"] = lambda url=url: self.sqs.receive_message(QueueUrl=url)
            calls[f"send {name}"] = lambda url=url: self.sqs.send_message(QueueUrl=url, MessageBody="{}")
            calls[f"purge {name}"] = lambda url=url: self.sqs.purge_queue(QueueUrl=url)
        return calls


def both(*calls: str) -> set[str]:
    """The same for both tenants."""
    return {f"{call} {tenant}" for call in calls for tenant in ("default", "other")}


MERGE = both("get snapshots", "put segments", "put parked") | {
    "list", "put mark", "BatchGetItem claims", "PutItem claims", "Transact claims",
    "PutItem blocks", "Transact blocks", "receive queue",
}
INDEX = both("get segments", "get blocks", "delete segments", "delete blocks", "put blocks", "put parked") | {
    "list", "put mark", "BatchGetItem claims", "PutItem claims", "Transact claims",
    "GetItem blocks", "BatchGetItem blocks", "Query blocks", "PutItem blocks", "Transact blocks",
    "UpdateItem blocks", "DeleteItem blocks", "receive dead", "send lost",
}
# Of any tenant: the emulator knows no dynamodb:LeadingKeys. That condition is asserted on the template.
ROWS = {"GetItem blocks", "BatchGetItem blocks", "Query blocks"}


def render(tenant: str) -> set[str]:
    own = {"get segments", "get blocks", "get results", "put results"}
    return {f"{call} {tenant}" for call in own} | ROWS


def try_all(emulator: Emulator, outputs: dict, roles: dict[str, str], queues: dict) -> int:
    """Tries every call of every role; answers how many there were."""
    bucket = outputs["BucketName"]
    expected = {
        "writer of default": {"put snapshots default"},
        "writer of other": {"put snapshots other"},
        "merge": MERGE,
        "index": INDEX,
        "render of default": render("default"),
        "render of other": render("other"),
        "reader of default": set(),
    }
    count = 0
    for who in roles:
        allowed = expected[who]
        # Each role finds the same: what one put or deleted must not decide over the next.
        calls = Role(emulator, roles[who], bucket, queues).calls(allowed)
        wrong = [f"{'denied' if call.allowed else 'ALLOWED'}: {call.what}" for call in calls if not call.holds()]
        check(not wrong, f"{who}: {len(allowed)} calls pass, {len(calls) - len(allowed)} are denied {wrong or ''}")
        count += len(calls)
    return count


def make_role(emulator: Emulator, name: str, policy: str) -> str:
    """A role as somebody else's function would have, with nothing but the managed policy."""
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam = emulator.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    return name


def readers_meet_their_tenant(emulator: Emulator, urls: dict[str, str], readers: dict[str, str]):
    """Who may read one tenant gets an answer there, and none at the other's URL."""
    for tenant, url in urls.items():
        for reader, role in readers.items():
            status, _, _ = ask(emulator, url, "/ready", emulator.assume(role))
            check((status == 200) == (tenant == reader), f"reader of {reader} at {tenant}'s URL: {status}")
