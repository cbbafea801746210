# The image of agent and webhook. It runs nothing while it is built, so that any machine can build it for any
# processor and gets the same bytes: `npm run build` (or `npm run build -- --cpu arm64`) makes what it copies.
#   npm run image -- --tag registry.example/noost:0.1.0        with buildah
#   docker buildx build --platform linux/amd64,linux/arm64 .   after a build for both
# docs/kubernetes.md says more.

# Where Node comes from: /usr/local/bin/node, and the one library that it needs and small bases lack.
ARG NODE_IMAGE=docker.io/library/node:26-bookworm-slim
# What it runs on: the C and C++ libraries, no shell, no package manager.
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE_IMAGE} AS node

FROM ${BASE_IMAGE}
ARG TARGETARCH
ARG VERSION=0.0.0
ARG REVISION=unknown
COPY --from=node --chown=0:0 /usr/lib/*-linux-gnu/libatomic.so.1* /usr/local/lib/
COPY --from=node --chown=0:0 /usr/local/bin/node /usr/local/bin/node
COPY --chown=0:0 dist/linux-${TARGETARCH}/ /opt/noost/
# Why these: noost-node, which does the same in a checkout.
ENV PATH=/opt/noost/bin:/usr/local/bin:/usr/bin:/bin \
    LD_LIBRARY_PATH=/usr/local/lib \
    UV_THREADPOOL_SIZE=16 \
    MALLOC_ARENA_MAX=2 \
    NODE_OPTIONS="--max-semi-space-size=1 --disable-warning=ExperimentalWarning"
LABEL org.opencontainers.image.title="Noost" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The webhook's. The agent's manifest says 0, without a capability, because the node's mirror files belong to root.
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/usr/local/bin/node", "/opt/noost/noost.js"]
CMD ["--help"]
