# mqttspec and nothing else: no shell, no library. `ci/image` makes the folder this is built in, with the file system of
# each architecture; the binary is static.
FROM scratch
ARG TARGETARCH
ARG VERSION=
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="mqttspec" \
      org.opencontainers.image.description="Tests whether an MQTT 5.0 broker keeps the standard" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY ${TARGETARCH}/ /
# Where reports go if their names have no folder; a folder of the host may be mounted here.
COPY --chown=65532:65532 reports /reports
WORKDIR /reports
USER 65532:65532
ENTRYPOINT ["/mqttspec"]
