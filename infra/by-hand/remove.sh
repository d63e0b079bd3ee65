#!/usr/bin/env bash
# Removes all that make.sh made, profiles included, in the other order.
#
#   infra/by-hand/remove.sh BUCKET PREFIX
#
# What is not there is passed over.
set -uo pipefail
bucket=${1:?which bucket?}
prefix=${2:?how do tables, queues and functions begin?}

for function in "$prefix-merge" "$prefix-index" "$prefix-render"; do
    mappings=$(aws lambda list-event-source-mappings --function-name "$function" \
        --query 'EventSourceMappings[].UUID' --output text)
    for mapping in $mappings; do
        aws lambda delete-event-source-mapping --uuid "$mapping" >/dev/null
    done
done
aws events remove-targets --rule "$prefix-tick" --ids index >/dev/null
aws events delete-rule --name "$prefix-tick"
for function in "$prefix-merge" "$prefix-index" "$prefix-render"; do
    aws lambda delete-function --function-name "$function" >/dev/null
    aws iam delete-role-policy --role-name "$function" --policy-name flambeau
    aws iam delete-role --role-name "$function"
    aws logs delete-log-group --log-group-name "/aws/lambda/$function"
done
for queue in "$prefix" "$prefix-dead" "$prefix-lost"; do
    aws sqs delete-queue --queue-url "$(aws sqs get-queue-url --queue-name "$queue" --query QueueUrl --output text)"
done
for table in "$prefix-claims" "$prefix-blocks"; do
    aws dynamodb delete-table --table-name "$table" >/dev/null
done
aws s3 rm "s3://$bucket" --recursive --quiet
aws s3api delete-bucket --bucket "$bucket"
