#!/bin/sh
# Installs what the peers of `run.py bench peers` and `run.py bench bargein --peer` need, from PyPI,
# into .peers/ and nowhere else.
set -e
cd "$(dirname "$0")/../.."
"${PYTHON:-python3}" -m venv .peers
.peers/bin/python -m pip --disable-pip-version-check install -q \
	"fastrtc[vad]==0.0.34" "pipecat-ai[webrtc]==1.14.0" "fastapi" "uvicorn"
# For one file in it, the model of FastRTC's detector; its last release with that generation.
.peers/bin/python -m pip --disable-pip-version-check install -q --no-deps "faster-whisper==1.0.2"
