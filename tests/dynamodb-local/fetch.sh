#!/usr/bin/env bash
# Fetches DynamoDB Local from Maven Central into target/dynamodb-local.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../target/dynamodb-local}
[ -e "$out/.complete" ] && exit 0
mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$out"
touch "$out/.complete"
