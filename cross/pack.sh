#!/bin/sh
# Packs what the firmware unpacks to /opt/mqtt_broker:
#
#     cross/pack.sh PROGRAMS STAGE OUT.tgz TARGET LIBC
#
# PROGRAMS is the directory of the executables, STAGE a directory to be overwritten. The same commit and the same
# compilers give the same file, byte for byte.
set -eu

PROGRAMS=$1 STAGE=$2 OUT=$3 TARGET=$4 LIBC=$5
MODULE=$STAGE/mqtt_broker
export LC_ALL=C TZ=UTC

die() {
    echo "cross/pack.sh: $*" >&2
    exit 1
}

need() { # COMMAND PACKAGE
    command -v "$1" >/dev/null || die "$1 is missing; on Debian: apt-get install $2"
}
need python3 python3
need readelf binutils
need gzip gzip
tar --version 2>/dev/null | grep -q 'GNU tar' || die "GNU tar is needed"

# The date of the commit is the date of everything. Without a repository, that of the newest change to the lock file.
DATE=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date -r Cargo.lock +%s)}
VERSION=$(sed -n '/^\[workspace\.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$VERSION" ] || die "Cargo.toml states no version"

for program in mqtt_broker cgi; do
    if readelf --program-headers "$PROGRAMS/$program" | grep -q INTERP; then
        die "$PROGRAMS/$program is not static"
    fi
done

rm -rf "$STAGE"
mkdir -p "$MODULE/bin" "$MODULE/etc" "$MODULE/license" "${OUT%/*}"
cp "$PROGRAMS/mqtt_broker" "$PROGRAMS/cgi" "$MODULE/bin"
for tool in mosquitto_pub mosquitto_sub mosquitto_rr; do ln -s mqtt_broker "$MODULE/bin/$tool"; done
for file in name summary description defaults init install uninstall; do cp "etc/$file" "$MODULE/etc"; done
printf '%s (%s)\n' "$VERSION" "$(date -d "@$DATE" +%Y-%m-%d)" >"$MODULE/etc/version"
cp -RP www "$MODULE/www"
cp LICENSE "$MODULE/license/mqtt_broker.txt"
cp "cross/license/$LIBC.txt" "$MODULE/license"
python3 cross/licenses.py "$MODULE/license" "$TARGET" broker cgi
cp -RP merge/. "$MODULE"

for part in www/index.cgi www/.htpasswd license/rust.txt license/gcc.txt; do
    [ -e "$MODULE/$part" ] || [ -L "$MODULE/$part" ] || die "the package lacks $part"
done

# Modes and owners are those of the router, whatever umask and user made the files.
find "$MODULE" -type d -exec chmod 755 {} +
find "$MODULE" -type f -exec chmod 644 {} +
chmod 755 "$MODULE"/bin/* "$MODULE/etc/init" "$MODULE/etc/install" "$MODULE/etc/uninstall"
tar --create --directory "$STAGE" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@$DATE" mqtt_broker | gzip -9 -n >"$OUT.new"
mv "$OUT.new" "$OUT"
echo "$OUT: $(wc -c <"$OUT") bytes, mqtt_broker $(wc -c <"$MODULE/bin/mqtt_broker"), cgi $(wc -c <"$MODULE/bin/cgi")"
