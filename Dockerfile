# syntax=docker/dockerfile:1
# The one program, in an image that holds nothing else: no shell, no package manager, not root.
#
#   docker build -t orderflow:local .
#   docker build --target sbom --output type=local,dest=. .       # orderflow.cdx.json: what is in it (CycloneDX)
#
# The same sources, compiler and images give the same program: `--locked`, paths that are the same everywhere, and no time of the build. For a release, name both images by digest.
ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
ARG RUN_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS sources
# C and C++ compilers, for zstd, ring and jemalloc. Of Debian's stable release there is one version of each, with its security fixes.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .

FROM sources AS build
# What the program says of itself; without it, the version in Cargo.toml.
ARG ORDERFLOW_VERSION
ENV CARGO_TERM_COLOR=never \
    SOURCE_DATE_EPOCH=0 \
    RUSTFLAGS="--remap-path-prefix=/src=. --remap-path-prefix=/usr/local/cargo=cargo -C strip=symbols"
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    if [ -z "$ORDERFLOW_VERSION" ]; then unset ORDERFLOW_VERSION; fi; \
    cargo build --release --locked --package orderflow && install -D target/release/orderflow /out/usr/local/bin/orderflow
# A directory that the program may write, also where nobody mounts one.
RUN install -d -o 65532 -g 65532 -m 0750 /out/data

FROM sources AS bill
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo install --locked --version 0.5.9 cargo-cyclonedx && \
    SOURCE_DATE_EPOCH=0 cargo cyclonedx --manifest-path orderflow/Cargo.toml --format json --spec-version 1.5 --override-filename orderflow.cdx && \
    install -D orderflow/orderflow.cdx.json /out/orderflow.cdx.json

FROM scratch AS sbom
COPY --from=bill /out/orderflow.cdx.json /

FROM ${RUN_IMAGE} AS run
LABEL org.opencontainers.image.title="orderflow" \
      org.opencontainers.image.description="Order and payment pipelines as stream processing on Fluvio" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/ /
ENV ORDERFLOW_DATA_DIR=/data
USER 65532:65532
WORKDIR /data
EXPOSE 8088 9464 9003 9010
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/orderflow"]
CMD ["up"]
