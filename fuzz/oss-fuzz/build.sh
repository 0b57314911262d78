#!/usr/bin/env bash
# Builds every target for OSS-Fuzz and ClusterFuzzLite: into $OUT go the target, its dictionary, its options
# and, as a zip, what it begins with. Run from the folder of the project, with the variables that these
# engines set: OUT, WORK and SANITIZER.
set -euo pipefail

case ${SANITIZER:-address} in
  address) sanitizer=address ;;
  # Their coverage build has its flags in RUSTFLAGS, and no sanitizer beside them.
  *) sanitizer=none ;;
esac
build=$WORK/fuzz
options=(--fuzz-dir fuzz --features libfuzzer --sanitizer "$sanitizer" --target-dir "$build")
cargo fuzz build "${options[@]}"
RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc-for-core cargo fuzz build "${options[@]}" core

# What makes the seeds is no target, and is built as any other program.
seeds=$WORK/seeds
rm -rf "$seeds"
env -u RUSTFLAGS cargo run --quiet -p fuzz --example seeds -- "$seeds"
env -u RUSTFLAGS cargo run --quiet -p fuzz --example corpus -- unpack "$seeds"

host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$OUT"
for target in $(cargo fuzz list --fuzz-dir fuzz); do
  cp "$build/$host/release/$target" "$OUT/"
  cp fuzz/dict/mqtt.dict "$OUT/$target.dict"
  printf '[libfuzzer]\nmax_len = 4096\ntimeout = 10\n' >"$OUT/$target.options"
  rm -f "$OUT/${target}_seed_corpus.zip"
  # By names from its input, as there are more files than a command line may have.
  find "$seeds/$target" -type f | zip -q -j -@ "$OUT/${target}_seed_corpus.zip"
done
