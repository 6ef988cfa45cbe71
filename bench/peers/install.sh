#!/bin/sh
# Installs what the peers of `run.py bench peers` need, from PyPI, into .peers/ and nowhere else.
set -e
cd "$(dirname "$0")/../.."
"${PYTHON:-python3}" -m venv .peers
.peers/bin/python -m pip --disable-pip-version-check install -q \
	"fastrtc==0.0.34" "pipecat-ai[webrtc]==1.14.0" "fastapi" "uvicorn"
