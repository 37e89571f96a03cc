#!/bin/sh
# Installs on Debian what is needed to build for the routers, to test, or both, from the distribution alone:
#
#     cross/setup-debian.sh build|test|all [DIRECTORY]
#
# The musl cross compilers go to DIRECTORY (target/cross-tools). No foreign architecture is added to the
# machine's package manager. Where nothing is missing this takes no time and asks for no rights.
set -eu

WHAT=${1:-all}
HERE=$(cd "$(dirname "$0")" && pwd)
DIRECTORY=${2:-$HERE/../target/cross-tools}

die() {
    echo "cross/setup-debian.sh: $*" >&2
    exit 1
}

case $WHAT in build | test | all) ;; *) die "the first word is build, test or all" ;; esac
. /etc/os-release

# --- packages of the machine

# What is called by its name: the command, and the package that brings it.
TOOLS="git:git make:make gcc:gcc readelf:binutils python3:python3 tar:tar gzip:gzip pkg-config:pkg-config"
TESTS="mosquitto_pub:mosquitto-clients qemu-arm-static:qemu-user-static busybox:busybox dash:dash
    shellcheck:shellcheck openssl:openssl gnutls-cli:gnutls-bin"
# Libraries that TLS is tried with.
PEERS="libmbedtls-dev libwolfssl-dev"
CROSS="gcc-arm-linux-gnueabihf libc6-dev-armhf-cross gcc-arm-linux-gnueabi libc6-dev-armel-cross
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
# A compiler that has no standard library for the routers is helped by one that can build it.
DISTRIBUTION_RUST="rustc-web cargo-web rust-web-src"

missing=
want_commands() {
    for pair in "$@"; do
        command -v "${pair%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
}
want_packages() {
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
    done
}

has_prebuilt_std() {
    for target in armv5te-unknown-linux-musleabi armv7-unknown-linux-musleabihf aarch64-unknown-linux-musl; do
        ls "$(rustc --print target-libdir --target "$target" 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1 || return
    done
}

has_browser() {
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null
}

# The words of these lists are to be split.
# shellcheck disable=SC2086
{
    want_commands $TOOLS
    # cargo by itself links the distribution's OpenSSL; that of the packages is built by perl with all its modules.
    want_packages libc6-dev ca-certificates libssl-dev perl
    if [ "$WHAT" != test ]; then
        want_packages $CROSS
        has_prebuilt_std || want_packages $DISTRIBUTION_RUST
    fi
    if [ "$WHAT" != build ]; then
        want_commands $TESTS
        want_packages $PEERS
        python3 -c 'import ensurepip' 2>/dev/null || want_packages python3-venv
        has_browser || want_packages chromium chromium-driver
    fi
}

# A network has its moments.
retry() {
    "$@" || { sleep 5; "$@"; } || { sleep 15; "$@"; }
}

if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || die "these Debian packages, or what they are called here, are missing:$missing"
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; }; then
        sudo=sudo
    else
        die "without root or sudo these packages cannot be installed; as root: apt-get install --no-install-recommends$missing"
    fi
    # shellcheck disable=SC2086
    {
        retry $sudo apt-get -q update
        retry $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing ||
            die "some of these packages could not be installed:$missing
where Debian's rustc-web is not to be had, 'rustup target add' of the three targets in cross/*.toml takes its place"
    }
fi
[ "$WHAT" != test ] || exit 0

# --- musl for the cross compilers: Debian's own builds of it, unpacked beside them

# The last thing made is the sign that all is there, made by this very script from these very files.
STAMP=$(cat "$0" "$HERE/dl_find_object.c" | cksum)
mkdir -p "$DIRECTORY"
DIRECTORY=$(cd "$DIRECTORY" && pwd)
[ "$(cat "$DIRECTORY/stamp" 2>/dev/null)" != "$STAMP" ] || exit 0
[ "$ID" = debian ] || die "the musl cross compilers come from Debian; on $ID put compilers named as in cross/*.toml on PATH"

# A private state for apt with lists of its own, so that the machine's knows nothing of other architectures.
APT=$DIRECTORY/apt
mkdir -p "$APT/lists/partial" "$APT/cache/archives/partial" "$DIRECTORY/deb" "$DIRECTORY/bin"
: >"$APT/status"
cat >"$APT/apt.conf" <<END
Dir::State::lists "$APT/lists";
Dir::State::status "$APT/status";
Dir::Cache "$APT/cache";
Dir::Etc::sourcelist "$APT/sources.list";
Dir::Etc::sourceparts "-";
APT::Architectures { "$(dpkg --print-architecture)"; "armhf"; "armel"; "arm64"; };
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Sandbox::User "";
END
archive=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
[ -n "$archive" ] || archive=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) { print $i; exit } }' \
    /etc/apt/sources.list)
[ -n "$archive" ] || die "no archive of Debian's is named in /etc/apt"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $VERSION_CODENAME main" >"$APT/sources.list"

apt() {
    (cd "$DIRECTORY/deb" && APT_CONFIG=$APT/apt.conf apt-get -q "$@")
}
for architecture in armhf armel arm64; do
    if ! ls "$DIRECTORY/deb"/musl-dev_*_"$architecture".deb >/dev/null 2>&1; then
        [ -e "$APT/updated" ] || retry apt update
        : >"$APT/updated"
        retry apt download "musl-dev:$architecture"
    fi
done
rm -rf "$APT" "$DIRECTORY/root"

# make_compiler DEBIAN-ARCHITECTURE MUSL-TRIPLE GCC-TRIPLE
make_compiler() {
    dpkg-deb -x "$DIRECTORY/deb"/musl-dev_*_"$1".deb "$DIRECTORY/root"
    libraries=$DIRECTORY/root/usr/lib/$2
    headers=$DIRECTORY/root/usr/include/$2
    sed -i "s#/usr/lib/$2#$libraries#g; s#/usr/include/$2#$headers#g" "$libraries/musl-gcc.specs"
    # The kernel's headers, which C libraries ask for.
    for part in linux asm asm-generic; do
        ln -sfn "/usr/$3/include/$part" "$headers/$part"
    done
    printf '#!/bin/sh\nexec %s-gcc "$@" -specs "%s"\n' "$3" "$libraries/musl-gcc.specs" >"$DIRECTORY/bin/$2-gcc"
    chmod 755 "$DIRECTORY/bin/$2-gcc"
    for tool in ar ranlib strip nm; do
        ln -sfn "/usr/bin/$3-$tool" "$DIRECTORY/bin/$2-$tool"
    done
    # Rust's standard library asks for a libunwind on musl; gcc's unwinder answers.
    shim=
    if [ "$1" = arm64 ]; then
        "$DIRECTORY/bin/$2-gcc" -Os -ffunction-sections -c "$HERE/dl_find_object.c" -o "$libraries/dl_find_object.o"
        rm -f "$libraries/libdl_find_object.a"
        "$3-ar" rcD "$libraries/libdl_find_object.a" "$libraries/dl_find_object.o"
        shim=-ldl_find_object
    fi
    echo "GROUP(-lgcc_eh $shim -lgcc)" >"$libraries/libunwind.a"
}
make_compiler armhf arm-linux-musleabihf arm-linux-gnueabihf
make_compiler armel arm-linux-musleabi arm-linux-gnueabi
make_compiler arm64 aarch64-linux-musl aarch64-linux-gnu
echo "$STAMP" >"$DIRECTORY/stamp"
