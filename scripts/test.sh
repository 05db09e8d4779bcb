#!/usr/bin/env bash
# Runs every test: scripts/test.sh [ARGUMENTS OF cargo test]
# WGPT_TEST_MODEL names the default model, if not the cache's; WGPT_TEST_MODELS a folder that holds the
# other real models, whose tests are skipped otherwise. WGPT_TEST_ALL= (empty) leaves out the kernel cases whose
# shaders a software adapter compiles for seconds: minutes less while the driver's shader cache is cold.
# WGPT_TEST_DXC names DXC's library, WGPT_TEST_SWIFTSHADER the ICD file of SwiftShader, and WGPT_TEST_LAVAPIPE26 a program
# that starts others with Mesa 26's lavapipe, if not the cache's; empty leaves their tests out.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

scripts/setup-gpu.sh
if [ -z "${WGPT_TEST_MODEL:-}" ]; then
    WGPT_TEST_MODEL=$(env -u WGPT_MODEL scripts/fetch-model.sh)
fi
export WGPT_TEST_MODEL
export WGPT_TEST_ALL=${WGPT_TEST_ALL-1}
while IFS='=' read -r name path; do
    export "$name=${!name-$path}"
done < <(scripts/setup-test-tools.sh)
exec cargo test --locked --release "$@"
