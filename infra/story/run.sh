#!/bin/sh
# The deploy story: the real stack, deployed by the real CDK onto an emulator, with the real functions.
#
#   story/run.sh ZIPS FLAMBEAU
#
# ZIPS is where `infra/zips.sh` put {merge,index,render}/bootstrap.zip for this
# machine's processor; FLAMBEAU is the CLI, for the in-process path to compare with.
# Needs node_modules (npm ci), Python 3.10 or newer, openssl. VENV names a place for Python's packages.
set -eu
cd "$(dirname "$0")/.."
zips=${1:?which folder holds the zips?}
flambeau=${2:?where is the flambeau CLI?}
venv=${VENV:-${TMPDIR:-/tmp}/flambeau-story-venv}
if ! "$venv/bin/python" -c 'import awscli, boto3, ministack' 2>/dev/null; then
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install -q -r story/requirements.txt; }; then
    echo "SKIPPED: the deploy story needs the Python packages of story/requirements.txt, and they cannot be had here"
    exit 0
  fi
fi
exec "$venv/bin/python" story/main.py --zips "$zips" --flambeau "$flambeau"
