#!/usr/bin/env bash
# Our models as Brain-Score BrainModels, against the real package, in an environment of its own:
#
#     bash scripts/check_brainscore.sh FOLDER
#
# FOLDER is the virtual environment; it is made if it is not there, and used again if it is. brainscore-vision pins
# numpy < 2, so that it may not fit beside what else you have installed.
set -euo pipefail
folder=$(realpath -m "${1:?usage: bash scripts/check_brainscore.sh FOLDER, the virtual environment to make or to use}")
cd "$(dirname "$0")/.."

[ -x "$folder/bin/python" ] || python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check brainscore-vision -e '.[brain]'
"$folder/bin/python" -m pip check
# rsatoolbox 0.3 imports what scikit-learn has from 1.6 on; brainscore-vision pins an earlier one, and neither says so.
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps 'rsatoolbox<0.3'

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PATH="$folder/bin:$PATH" BS_INSTALL_DEPENDENCIES=no # Brain-Score installs no more packages, least of all elsewhere
export RESULTCACHING_DISABLE=1 BRAINSCORE_HOME="$scratch" TMPDIR="$scratch" # nothing is left behind, nothing old is used
"$folder/bin/python" -W ignore scripts/check_brainscore.py
