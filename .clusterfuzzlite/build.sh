#!/usr/bin/env bash
# As for OSS-Fuzz.
exec fuzz/oss-fuzz/build.sh
