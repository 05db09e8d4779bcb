#!/usr/bin/env bash
# Builds wgpt and has the default model answer: scripts/demo.sh [PROMPT]
# WGPT_MODEL names another model, a file or a folder; WGPT_FLAGS holds flags of 'wgpt run', '-n 200' if unset.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

prompt=${*:-Explain in two sentences why the sky is blue.}
read -r -a flags <<<"${WGPT_FLAGS--n 200}"

scripts/setup-gpu.sh
model=$(scripts/fetch-model.sh)
cargo build --locked --release
exec "${CARGO_TARGET_DIR:-target}/release/wgpt" run -m "$model" ${flags[@]+"${flags[@]}"} -- "$prompt"
