#!/bin/sh
# Puts a package into the simulated router and says how to use it:
#
#     cross/run.sh SIMULATOR PACKAGE ROOT HTTP_PORT [PORT]
#
# PORT is entered into the settings of the broker. Ctrl-C, or a signal to this script, ends everything in order.
set -eu

SIMULATOR=$1 PACKAGE=$2 ROOT=$3 HTTP_PORT=$4 PORT=${5-}
MODULE=$ROOT/opt/mqtt_broker
SETTINGS=$MODULE/etc/settings
KEY=MOD_MQTT_BROKER_PORT

mkdir -p "$ROOT"
output=$ROOT.output
rm -f "$output"
mkfifo -m 600 "$output"
"$SIMULATOR" --root "$ROOT" --listen "127.0.0.1:$HTTP_PORT" --user root --password root --install "$PACKAGE" >"$output" &
simulator=$!
trap 'kill -TERM "$simulator" 2>/dev/null || :' INT TERM HUP
exec 3<"$output"
rm -f "$output"

set_port() {
    sed -i "/^$KEY=/d" "$SETTINGS"
    echo "$KEY='$PORT'" >>"$SETTINGS"
    "$MODULE/etc/init" reload >/dev/null
}

explain() {
    port=$(sed -n "s/^$KEY='\{0,1\}\([0-9]*\).*/\1/p" "$SETTINGS")
    if [ -n "$PORT" ] && [ "$PORT" != "$port" ]; then
        set_port
    fi
    port=${PORT:-${port:-1883}}
    cat <<END

  The page of the broker:  ${1}module/mqtt_broker/index.cgi
  The router's login:      root, password root

Tick "Enable MQTT Broker", press Apply, then type in two other terminals:

  mosquitto_sub -h 127.0.0.1 -p $port -t 'test/#' -v
  mosquitto_pub -h 127.0.0.1 -p $port -t test/hello -m 'Hello, router'

Ctrl-C ends it all. The router's files are in $ROOT, its log is $ROOT/var/log/messages.

END
}

while IFS= read -r line <&3; do
    case $line in
    "listening on "*) explain "${line#listening on }" ;;
    *) printf '%s\n' "$line" ;;
    esac
done
# A signal of ours interrupts the wait, not the simulator's orderly end.
while kill -0 "$simulator" 2>/dev/null; do
    wait "$simulator" && code=0 || code=$?
done
exit "${code:-0}"
