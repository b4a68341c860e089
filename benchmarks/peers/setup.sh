#!/usr/bin/env bash
# setup.sh FOLDER [opennmt joeynmt eole ctranslate2 transformers]: each peer in a virtual environment of its own, FOLDER/NAME.
# PYTHON: the interpreter (python3). PIP_ARGS goes to pip as it is, for instance to choose where torch comes from.
# What stands behind a name's own package is what it needs and does not declare, or declares too narrowly.
set -euo pipefail
folder=$1
shift
mkdir -p "$folder"
torch=torch==2.13.0
for name in ${*:-opennmt joeynmt eole ctranslate2 transformers}; do
  "${PYTHON:-python3}" -m venv "$folder/$name"
  get() { "$folder/$name/bin/python" -m pip install --quiet ${PIP_ARGS:-} "$@"; }
  case $name in
    opennmt) # asks for torch below 2.3, and works with a newer one
      get $torch configargparse 'ctranslate2>=4.8,<4.9' tensorboard flask waitress 'pyonmttok>=1.37,<2' pyyaml sacrebleu \
        rapidfuzz pyahocorasick fasttext-wheel spacy six safetensors
      get --no-deps OpenNMT-py==3.5.1
      ;;
    joeynmt) get $torch joeynmt==2.3.0 importlib_metadata ;;
    eole) get $torch eole==0.6.4 aiohttp ;;
    ctranslate2) # with Henkan, which exports its model there
      get $torch 'ctranslate2>=4.8,<4.9' -e "$(dirname "$0")/../.."
      ;;
    transformers) get $torch transformers==5.23.0 accelerate==1.15.0 ;;
    *)
      echo "$name: expected opennmt, joeynmt, eole, ctranslate2 or transformers" >&2
      exit 2
      ;;
  esac
  echo "$name: done"
done
