#!/bin/sh
echo "out $1|$2"
echo "err $PATH" >&2
exit 3
