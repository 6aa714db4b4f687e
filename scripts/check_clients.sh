#!/usr/bin/env bash
# Our networks in the hands of other tools, as they are installed by their users, in an environment of its own:
#
#     bash scripts/check_clients.sh FOLDER [MODEL ...]
#
# FOLDER is the virtual environment; it is made if it is not there, and used again if it is. Models are those that are
# exported (made narrow); all registered ones by default, which takes about an hour.
set -euo pipefail
folder=$(realpath -m "${1:?usage: bash scripts/check_clients.sh FOLDER [MODEL ...], the virtual environment to make or to use}")
shift
cd "$(dirname "$0")/.."

[ -x "$folder/bin/python" ] || python3 -m venv "$folder"
pip() { "$folder/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
pip install -e '.[all]' captum torchlens onnx onnxruntime onnxscript fvcore torchinfo peft h5py
# thingsvision pins numpy < 2, an old torchvision and TensorFlow; what it needs for models in PyTorch is less.
pip install --no-deps thingsvision torchtyping 'typeguard<3' open-clip-torch ftfy wcwidth timm
pip install requests numba scikit-image scikit-learn

"$folder/bin/python" -W ignore scripts/check_clients.py "$@"
