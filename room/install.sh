#!/bin/sh
# Installs the course from this folder alone, without a network: sh install.sh
# Another Python: PYTHON=/path/to/python3 sh install.sh
set -e
cd "$(dirname "$0")"
"${PYTHON:-python3}" -m venv .venv || { echo "Python 3.11 or later with its venv module is needed."; exit 1; }
.venv/bin/python -m pip install --quiet --no-index --find-links wheels --requirement requirements.txt keypoint-tutorials || {
    echo "The folder wheels is for another system, or for another or a later Python than $(.venv/bin/python --version)."
    echo "These are there: $(ls wheels | grep '^torch-')"
    exit 1
}
.venv/bin/python -m helpers.preflight
echo "Open the notebooks: \"$PWD/.venv/bin/jupyter\" lab \"$PWD/notebooks\""
