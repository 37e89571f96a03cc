#!/bin/sh
echo "never"
