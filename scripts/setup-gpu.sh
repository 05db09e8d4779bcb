#!/usr/bin/env bash
# Makes sure that wgpt can be built and finds a GPU: a C compiler, the Vulkan loader, and where no GPU
# has a driver Mesa's software one, lavapipe. Installs what is missing on Debian; quick where nothing is.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The oldest lavapipe that wgpt accepts: Debian 12's own, of Mesa 22, silently cuts loops short after some 65,535 turns.
lavapipe_major=23

is_apt_system() {
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null
}

has_icd() {
    local icd
    for icd in /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json; do
        [[ -e $icd && ${icd##*/} =~ $1 ]] && return 0
    done
    return 1
}

# A device node of a GPU, and a Vulkan driver of its maker's.
has_gpu_driver() {
    [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] || return 0 # the user has chosen
    if [ -e /dev/nvidiactl ] && has_icd nvidia; then return 0; fi
    local vendor node
    for vendor in /sys/class/drm/renderD*/device/vendor; do
        node=${vendor#/sys/class/drm/}
        [ -e "/dev/dri/${node%%/*}" ] || continue
        case $(cat "$vendor") in
        0x1002) has_icd 'radeon|amd' && return 0 ;;
        0x8086) has_icd 'intel' && return 0 ;;
        0x10de) has_icd 'nvidia|nouveau' && return 0 ;;
        esac
    done
    return 1
}

has_loader() {
    dpkg-query -W -f '${db:Status-Abbrev}' libvulkan1 2>/dev/null | grep -q '^ii'
}

has_lavapipe() {
    local version
    version=$(dpkg-query -W -f '${Version}' mesa-vulkan-drivers 2>/dev/null) || return 1
    dpkg --compare-versions "$version" ge "$lavapipe_major" && has_icd lvp
}

# Debian 12 carries a new enough Mesa in bookworm-backports, on the mirror that the machine already uses.
add_backports() {
    if apt-cache policy mesa-vulkan-drivers 2>/dev/null | grep -q 'bookworm-backports'; then return; fi
    local sources=/etc/apt/sources.list.d
    if [ -r $sources/debian.sources ]; then
        awk 'BEGIN { RS = "" } NR == 1' $sources/debian.sources |
            sed 's/^Suites:.*/Suites: bookworm-backports/' |
            as_root tee $sources/wgpt-backports.sources >/dev/null
    elif [ -r /etc/apt/sources.list ]; then
        awk '$1 == "deb" { sub(/ bookworm /, " bookworm-backports "); print; exit }' /etc/apt/sources.list |
            as_root tee $sources/wgpt-backports.list >/dev/null
    fi
}

install_lavapipe() {
    case $(os_release VERSION_ID) in
    12)
        say "No GPU driver found: installing Mesa's software driver from bookworm-backports."
        add_backports
        apt_update
        apt_install -t bookworm-backports mesa-vulkan-drivers libvulkan1
        ;;
    *)
        say "No GPU driver found: installing Mesa's software driver."
        apt_update
        apt_install mesa-vulkan-drivers libvulkan1
        ;;
    esac
}

need_cargo

# The tokenizer's regular expressions (onig) and TLS (ring) are C, and rustc links through cc.
if ! command -v cc >/dev/null; then
    is_apt_system || die "Building wgpt needs a C compiler: install gcc or clang so that 'cc' is found."
    apt_update
    apt_install gcc libc6-dev
fi

if [ "$(uname -s)" != Linux ]; then
    exit 0 # Metal and DX12 come with the system
fi

if ! is_apt_system || [ "$(os_release ID)" != debian ]; then
    if ! has_icd .; then
        say "No Vulkan driver found: install your GPU's, or Mesa $lavapipe_major or newer for its software driver (lavapipe)."
    fi
elif has_gpu_driver; then
    if ! has_loader; then
        apt_update
        apt_install libvulkan1
    fi
elif ! has_lavapipe || ! has_loader; then
    install_lavapipe
    has_lavapipe || die "The lavapipe that apt installed is older than Mesa $lavapipe_major, which computes wrongly: install a newer mesa-vulkan-drivers."
fi
