#!/usr/bin/env bash
# Gets what the tests of shaders can use and a machine rarely has: spirv-val and glslang (by apt), DXC, Microsoft's HLSL
# compiler, and two more Vulkan drivers that need no GPU: SwiftShader, and Mesa 26's lavapipe, which has cooperative matrices.
# Prints NAME=VALUE lines for the tests' environment. What cannot be had is said and left out, and its tests are skipped; quick
# where all is there.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/wgpt/tools
dxc_package=compushady-lrtu==0.18.0
dxc_member=compushady/backends/libdxcompiler_x86_64.so
dxc_sha256=ade5a6edc143bee6a6c1e83adbcfb6e1eb9c48c50ef2eead9e763e5bcb689fac
swiftshader_member=./usr/lib/chromium/libvk_swiftshader.so

# The folder that downloads go to, on the cache's own file system.
temporary=
make_temporary() {
    mkdir -p "$cache"
    temporary=$(mktemp -d "$cache/.fetch.XXXXXX")
    trap 'rm -rf "$temporary"' EXIT
}

validators() {
    if command -v spirv-val >/dev/null && command -v glslangValidator >/dev/null; then return; fi
    command -v apt-get >/dev/null || return 1
    say "Getting spirv-val and glslang (5 MB) ..."
    apt_update && apt_install spirv-tools glslang-tools
}

# A wheel that carries a DXC for Linux; it is for one version of Python, which does not matter to the library in it.
dxc() {
    if [ -f "$cache/libdxcompiler.so" ]; then return; fi
    need_pip || return 1
    say "Getting DXC (15 MB) ..."
    make_temporary
    python3 -m pip download --no-deps --no-cache-dir --disable-pip-version-check --only-binary=:all: --python-version 3.11 \
        --implementation cp --abi cp311 --platform manylinux_2_28_x86_64 --dest "$temporary" "$dxc_package" >&2 </dev/null || return 1
    python3 -m zipfile -e "$(echo "$temporary"/*.whl)" "$temporary" || return 1
    echo "$dxc_sha256  $temporary/$dxc_member" | sha256sum --check --quiet >&2 || return 1
    mv "$temporary/$dxc_member" "$cache/libdxcompiler.so"
}

# Debian's Chromium carries SwiftShader; apt checks the package's signature.
swiftshader() {
    if [ ! -f "$cache/libvk_swiftshader.so" ]; then
        [ "$(os_release ID)" = debian ] || return 1
        say "Getting SwiftShader (32 MB) ..."
        make_temporary
        (cd "$temporary" && { apt-get download -q chromium-common || { apt_update && apt-get download -q chromium-common; }; }) >&2 </dev/null || return 1
        dpkg-deb --fsys-tarfile "$(echo "$temporary"/chromium-common_*.deb)" | tar -x -C "$temporary" "$swiftshader_member" || return 1
        mv "$temporary/$swiftshader_member" "$cache/libvk_swiftshader.so"
    fi
    # Loaders take the path of the library as it stands only if it is absolute.
    printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' \
        "$cache/libvk_swiftshader.so" >"$cache/swiftshader_icd.json"
}

# The mirror that the machine gets its packages from.
mirror() {
    awk '$1 == "URIs:" { print $2; exit }' /etc/apt/sources.list.d/debian.sources 2>/dev/null |
        grep . || awk '$1 == "deb" { print $2; exit }' /etc/apt/sources.list
}

# Debian has Mesa 26 in the backports of 13, for another C library than 12's: it gets a folder to itself, by an apt that
# knows nothing of the system's packages. Programs run with it by way of $cache/lavapipe26/run, under its own loader.
lavapipe26() {
    local folder=$cache/lavapipe26 keyring=/usr/share/keyrings/debian-archive-keyring.gpg suite package
    if [ -x "$folder/run" ]; then return; fi
    [ "$(os_release ID)" = debian ] && [ -r $keyring ] || return 1
    say "Getting Mesa 26's lavapipe (75 MB) ..."
    make_temporary
    mkdir -p "$temporary"/apt/{etc/apt.conf.d,etc/preferences.d,state/lists/partial,cache/archives/partial} "$temporary/root"
    touch "$temporary/apt/state/status"
    for suite in trixie trixie-backports; do
        echo "deb [signed-by=$keyring] $(mirror) $suite main"
    done >"$temporary/apt/etc/sources.list"
    cat >"$temporary/apt.conf" <<END
Dir::Etc "$temporary/apt/etc";
Dir::Etc::sourceparts "-";
Dir::State "$temporary/apt/state";
Dir::State::status "$temporary/apt/state/status";
Dir::Cache "$temporary/apt/cache";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Debug::NoLocking "true";
END
    export APT_CONFIG=$temporary/apt.conf
    apt-get update -q >&2 </dev/null || return 1
    apt-get install -q -y --download-only -t trixie-backports mesa-vulkan-drivers libvulkan1 >&2 </dev/null || return 1
    for package in "$temporary"/apt/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" |
            tar -x -C "$temporary/root" --wildcards --exclude='*/gconv' './usr/lib/x86_64-linux-gnu/*' 2>/dev/null ||
            true # a package without libraries
    done
    local libraries=$temporary/root/usr/lib/x86_64-linux-gnu
    [ -f "$libraries/libvulkan_lvp.so" ] && [ -f "$libraries/libvulkan.so.1" ] || return 1
    find "$libraries" -name 'libvulkan_*.so' ! -name libvulkan_lvp.so -delete
    printf '{"file_format_version": "1.0.1", "ICD": {"library_path": "%s", "api_version": "1.4.0"}}\n' \
        "$folder/lib/libvulkan_lvp.so" >"$temporary/root/lvp_icd.json"
    printf '#!/bin/sh\nVK_DRIVER_FILES="%s" exec "%s" --library-path "%s" "$@"\n' \
        "$folder/lvp_icd.json" "$folder/lib/ld-linux-x86-64.so.2" "$folder/lib" >"$temporary/root/run"
    chmod +x "$temporary/root/run"
    mv "$libraries" "$temporary/root/lib"
    rm -rf "$temporary/root/usr" "$folder"
    mv "$temporary/root" "$folder"
}

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
    say "The tools that check shaders are for Linux on x86-64: their tests are skipped."
    exit
fi

# Each in a shell of its own: one that fails takes no other with it.
if ! (validators); then
    say "spirv-val and glslang cannot be installed here: install spirv-tools and glslang-tools to have their tests run."
fi
if (dxc); then
    echo "WGPT_TEST_DXC=$cache/libdxcompiler.so"
else
    say "DXC cannot be had here: its tests are skipped."
fi
if (swiftshader); then
    echo "WGPT_TEST_SWIFTSHADER=$cache/swiftshader_icd.json"
else
    say "SwiftShader cannot be had here: its tests are skipped."
fi
if (lavapipe26); then
    echo "WGPT_TEST_LAVAPIPE26=$cache/lavapipe26/run"
else
    say "Mesa 26's lavapipe cannot be had here: the tests of cooperative matrices are skipped."
fi
