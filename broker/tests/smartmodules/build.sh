#!/bin/sh
# Builds artifacts/<feature>.wasm from the source, and records in artifacts/SOURCES.sha256 what they were built from; a
# test in `xtask` holds both against the record. The same compiler gives the same bytes wherever the checkout is:
# `git diff --exit-code artifacts` afterwards proves that. Needs the target wasm32-unknown-unknown.
set -eu
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-$PWD/target}

# As in .cargo/config.toml, which the variable overrides; and without this machine's paths, which panic messages would
# carry into the artefacts.
flags=$(printf '%s\037%s\037--remap-path-prefix=%s=/smartmodules' -C link-arg=--allow-undefined "$PWD")
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags=$(printf '%s\037--remap-path-prefix=%s=/registry' "$flags" "$registry")
done

for module in guard tally split halve; do
    CARGO_ENCODED_RUSTFLAGS=$flags cargo build --release --locked --target wasm32-unknown-unknown --features "$module"
    cp "$target/wasm32-unknown-unknown/release/conformance_smartmodules.wasm" "artifacts/$module.wasm"
done

{
    echo '# What the artefacts were built from: build.sh writes this file; in the directory above,'
    echo '# `sha256sum --check artifacts/SOURCES.sha256` checks it.'
    echo "# Built by $(rustc --version)"
    find . -name target -prune -o -type f \( -name '*.rs' -o -name '*.toml' -o -name '*.lock' -o -name '*.sh' -o -name '*.wasm' \) -print |
        sed 's|^\./||' | LC_ALL=C sort | xargs sha256sum
} > artifacts/SOURCES.sha256
