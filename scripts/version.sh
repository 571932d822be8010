#!/bin/sh
# Prints the version that include/keopscl/status.h declares.
header=$(dirname "$0")/../include/keopscl/status.h
awk '/#define KCL_VERSION_(MAJOR|MINOR|PATCH)/ { v = v s $3; s = "." } END { print v }' "$header"
