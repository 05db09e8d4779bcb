#!/usr/bin/env bash
# Builds wgpt and has the default model answer: scripts/demo.sh [PROMPT]
# WGPT_FLAGS adds flags of 'wgpt run', WGPT_MODEL names another model.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

prompt=${*:-Explain in two sentences why the sky is blue.}
read -r -a flags <<<"${WGPT_FLAGS:-}"

scripts/setup-gpu.sh
model=$(scripts/fetch-model.sh)
cargo build --release
exec "${CARGO_TARGET_DIR:-target}/release/wgpt" run -m "$model" ${flags[@]+"${flags[@]}"} -- "$prompt"
