#!/usr/bin/env bash
# Flambeau without the CDK: everything around the three functions by the AWS CLI,
# the functions themselves by `cargo lambda deploy`.
#
#   infra/by-hand/make.sh BUCKET PREFIX
#
# Makes the bucket BUCKET, the tables PREFIX-claims and PREFIX-blocks, the queues
# PREFIX, PREFIX-dead and PREFIX-lost, the functions PREFIX-merge, -index and
# -render with a role each, and prints render's URL. Needs the zips that
# infra/zips.sh built (TARGET names another folder than target/lambda), the AWS
# CLI with credentials, and a region. It makes and never changes: after a
# failure call remove.sh, or go on from that line.
set -euo pipefail
bucket=${1:?which bucket shall be made?}
prefix=${2:?how shall tables, queues and functions begin?}
cd "$(dirname "$0")/../.."
target=${TARGET:-target/lambda}
region=${AWS_REGION:-${AWS_DEFAULT_REGION:?in which region?}}
account=$(aws sts get-caller-identity --query Account --output text)

tell() { echo "== $*" >&2; }
arn() { echo "arn:aws:$1:$region:$account:$2"; }
queue=$(arn sqs "$prefix") dead=$(arn sqs "$prefix-dead") lost=$(arn sqs "$prefix-lost")
claims=$(arn dynamodb "table/$prefix-claims") blocks=$(arn dynamodb "table/$prefix-blocks")
objects=arn:aws:s3:::$bucket

tell tables
aws dynamodb create-table --table-name "$prefix-claims" --billing-mode PAY_PER_REQUEST \
    --attribute-definitions AttributeName=pk,AttributeType=S \
    --key-schema AttributeName=pk,KeyType=HASH >/dev/null
aws dynamodb create-table --table-name "$prefix-blocks" --billing-mode PAY_PER_REQUEST \
    --attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S \
    --key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE \
    --stream-specification StreamEnabled=true,StreamViewType=KEYS_ONLY >/dev/null
for table in "$prefix-claims" "$prefix-blocks"; do
    aws dynamodb wait table-exists --table-name "$table"
    aws dynamodb update-time-to-live --table-name "$table" \
        --time-to-live-specification Enabled=true,AttributeName=expires >/dev/null
done
stream=$(aws dynamodb describe-table --table-name "$prefix-blocks" --query Table.LatestStreamArn --output text)

tell queues
# A policy and a redrive policy are JSON inside JSON: python writes them.
attributes() { python3 -c 'import json, sys; print(json.dumps({k: v if isinstance(v, str) else json.dumps(v) for k, v in json.load(sys.stdin).items()}))'; }
aws sqs create-queue --queue-name "$prefix-lost" --attributes MessageRetentionPeriod=345600 >/dev/null
aws sqs create-queue --queue-name "$prefix-dead" \
    --attributes VisibilityTimeout=5400,MessageRetentionPeriod=345600 >/dev/null
aws sqs create-queue --queue-name "$prefix" --attributes "$(attributes <<JSON
{
  "VisibilityTimeout": "740",
  "MessageRetentionPeriod": "345600",
  "RedrivePolicy": { "deadLetterTargetArn": "$dead", "maxReceiveCount": "5" },
  "Policy": { "Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" }, "Action": "sqs:SendMessage",
    "Resource": "$queue", "Condition": { "StringEquals": { "aws:SourceAccount": "$account" } }
  }] }
}
JSON
)" >/dev/null

tell bucket
# us-east-1 is where S3 wants no constraint.
case $region in
    us-east-1) aws s3api create-bucket --bucket "$bucket" >/dev/null ;;
    *) aws s3api create-bucket --bucket "$bucket" --create-bucket-configuration "LocationConstraint=$region" >/dev/null ;;
esac
aws s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
aws s3api put-bucket-policy --bucket "$bucket" --policy '{ "Version": "2012-10-17", "Statement": [
  { "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
    "Resource": ["'"$objects"'", "'"$objects"'/*"],
    "Condition": { "Bool": { "aws:SecureTransport": "false" } } },
  { "Sid": "SnapshotsAreWrittenOnce", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
    "Resource": "'"$objects"'/snapshots/*",
    "Condition": { "Null": { "s3:if-none-match": "true" }, "Bool": { "s3:ObjectCreationOperation": "true" } } }
] }'
aws s3api put-bucket-lifecycle-configuration --bucket "$bucket" --lifecycle-configuration '{ "Rules": [
  { "ID": "snapshots", "Status": "Enabled", "Filter": { "Prefix": "snapshots/" }, "Expiration": { "Days": 7 } },
  { "ID": "segments", "Status": "Enabled", "Filter": { "Prefix": "segments/" }, "Expiration": { "Days": 14 } },
  { "ID": "parked", "Status": "Enabled", "Filter": { "Prefix": "parked/" }, "Expiration": { "Days": 60 } },
  { "ID": "results", "Status": "Enabled", "Filter": { "Prefix": "results/" }, "Expiration": { "Days": 1 } },
  { "ID": "uploads", "Status": "Enabled", "Filter": { "Prefix": "" },
    "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 1 } }
] }' >/dev/null
aws s3api put-bucket-notification-configuration --bucket "$bucket" --notification-configuration '{
  "QueueConfigurations": [{ "QueueArn": "'"$queue"'", "Events": ["s3:ObjectCreated:*"],
    "Filter": { "Key": { "FilterRules": [{ "Name": "prefix", "Value": "snapshots/" }] } } }]
}'

tell roles
# The same permissions as the CDK gives (docs/security.md); logs besides.
allow() { # ACTIONS RESOURCES, each separated by spaces
    python3 -c 'import json, sys; print(json.dumps({"Effect": "Allow", "Action": sys.argv[1].split(), "Resource": sys.argv[2].split()}))' "$1" "$2"
}
role() { # FUNCTION STATEMENT…
    local name=$prefix-$1 statements
    shift
    statements=$(IFS=,; echo "$*")
    aws iam create-role --role-name "$name" --assume-role-policy-document '{ "Version": "2012-10-17",
      "Statement": [{ "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" }, "Action": "sts:AssumeRole" }] }' >/dev/null
    aws iam put-role-policy --role-name "$name" --policy-name flambeau \
        --policy-document "{ \"Version\": \"2012-10-17\", \"Statement\": [$statements] }"
}
logs=$(allow "logs:CreateLogGroup logs:CreateLogStream logs:PutLogEvents" "$(arn logs "log-group:/aws/lambda/$prefix-*")")
list=$(allow s3:ListBucket "$objects")
write_claims=$(allow "dynamodb:BatchGetItem dynamodb:PutItem" "$claims")
receive="sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes"
role merge "$logs" "$list" "$write_claims" \
    "$(allow s3:GetObject "$objects/snapshots/*")" \
    "$(allow s3:PutObject "$objects/segments/* $objects/parked/*")" \
    "$(allow dynamodb:PutItem "$blocks")" \
    "$(allow "$receive" "$queue")"
role index "$logs" "$list" "$write_claims" \
    "$(allow "s3:GetObject s3:DeleteObject" "$objects/segments/* $objects/blocks/*")" \
    "$(allow s3:PutObject "$objects/blocks/* $objects/parked/* $objects/segments/*.commit")" \
    "$(allow "dynamodb:GetItem dynamodb:BatchGetItem dynamodb:Query dynamodb:PutItem dynamodb:UpdateItem dynamodb:DeleteItem" "$blocks")" \
    "$(allow "dynamodb:DescribeStream dynamodb:GetRecords dynamodb:GetShardIterator dynamodb:ListStreams" "$blocks/stream/*")" \
    "$(allow "$receive" "$dead")" \
    "$(allow sqs:SendMessage "$lost")"
role render "$logs" \
    "$(allow s3:GetObject "$objects/segments/default/* $objects/blocks/default/* $objects/results/default/*")" \
    "$(allow s3:PutObject "$objects/results/default/*")" \
    "$(allow "dynamodb:GetItem dynamodb:BatchGetItem dynamodb:Query" "$blocks")"
# On AWS a new role is not known everywhere at once.
[ -n "${AWS_ENDPOINT_URL:-}" ] || sleep 15

tell functions
deploy() { # BINARY SECONDS MEGABYTES
    cargo lambda --global cargo-lambda.toml deploy "$prefix-$1" --lambda-dir "$target" --binary-name "$1" \
        --role "arn:aws:iam::$account:role/$prefix-$1" --timeout "$2" --memory "$3" \
        --env-var "FLAMBEAU_BUCKET=$bucket" --env-var "FLAMBEAU_TABLE=$prefix"
}
deploy merge 120 1024
deploy index 900 1024
deploy render 60 1769

tell events
aws lambda create-event-source-mapping --function-name "$prefix-merge" --event-source-arn "$queue" \
    --batch-size 1000 --maximum-batching-window-in-seconds 20 \
    --scaling-config MaximumConcurrency=10 --function-response-types ReportBatchItemFailures >/dev/null
aws lambda create-event-source-mapping --function-name "$prefix-index" --event-source-arn "$dead" \
    --function-response-types ReportBatchItemFailures >/dev/null
aws lambda create-event-source-mapping --function-name "$prefix-index" --event-source-arn "$stream" \
    --starting-position TRIM_HORIZON --batch-size 100 --maximum-batching-window-in-seconds 10 \
    --maximum-retry-attempts 3 --maximum-record-age-in-seconds 21600 --bisect-batch-on-function-error \
    --destination-config "{ \"OnFailure\": { \"Destination\": \"$lost\" } }" \
    --filter-criteria '{ "Filters": [{ "Pattern": "{\"eventName\":[\"INSERT\"],\"dynamodb\":{\"Keys\":{\"sk\":{\"S\":[{\"prefix\":\"open/0/\"}]}}}}" }] }' >/dev/null
rule=$(aws events put-rule --name "$prefix-tick" --schedule-expression 'rate(10 minutes)' --query RuleArn --output text)
aws lambda add-permission --function-name "$prefix-index" --statement-id tick \
    --action lambda:InvokeFunction --principal events.amazonaws.com --source-arn "$rule" >/dev/null
aws events put-targets --rule "$prefix-tick" --targets "Id=index,Arn=$(arn lambda "function:$prefix-index")" >/dev/null
aws lambda create-function-url-config --function-name "$prefix-render" \
    --auth-type AWS_IAM --invoke-mode RESPONSE_STREAM --query FunctionUrl --output text
