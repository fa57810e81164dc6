#!/bin/sh
# Builds artifacts/<feature>.wasm from the source. Needs the target wasm32-unknown-unknown.
set -eu
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-target}
for module in guard tally split halve; do
    cargo build --release --target wasm32-unknown-unknown --features "$module"
    cp "$target/wasm32-unknown-unknown/release/conformance_smartmodules.wasm" "artifacts/$module.wasm"
done
