# What the scripts share. Sourced, with the repository's root as the working directory afterwards.
# shellcheck shell=bash

set -euo pipefail
# Paths of the caller's are relative to where it is.
for path in WGPT_MODEL WGPT_TEST_MODEL WGPT_TEST_MODELS; do
    if [ -n "${!path:-}" ] && [ -e "${!path}" ]; then export "$path=$(realpath "${!path}")"; fi
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# rustup's own set-up reaches login shells only.
if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
    # shellcheck source=/dev/null
    . "$HOME/.cargo/env"
fi

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

need_cargo() {
    local needed found
    needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    command -v cargo >/dev/null || die "Building wgpt needs cargo: install Rust $needed or newer from https://rustup.rs, then start again."
    found=$(cargo --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" = "$needed" ] ||
        die "Building wgpt needs Rust $needed or newer and this is $found: run 'rustup update', or install it from https://rustup.rs, then start again."
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 2 ]; }; then
        # Where it asks for a password, it does so on the terminal, whatever standard input is.
        sudo "$@"
    else
        die "This needs root, to run '$*': start this script as root, or where sudo can ask for a password."
    fi
}

# The value of a field of /etc/os-release, empty on systems without that file.
os_release() {
    [ -r /etc/os-release ] || return 0
    # shellcheck source=/dev/null
    (. /etc/os-release && printf '%s' "${!1:-}")
}

apt_install() {
    # Standard output belongs to the scripts' results.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$@" >&2 </dev/null
}

apt_update() {
    as_root apt-get update -q >&2 </dev/null
}

# Debian's python3 comes without pip. False where there is none to be had.
need_pip() {
    if python3 -m pip --version >/dev/null 2>&1; then return; fi
    command -v apt-get >/dev/null || return 1
    apt_update && apt_install python3-pip
}
