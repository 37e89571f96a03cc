#!/bin/sh
# Sends back what it was sent.
printf 'Content-Type: text/plain\n\n'
cat
echo echoed >&2
