#!/bin/sh
# Never ends by itself.
echo waiting
exec sleep 3600
