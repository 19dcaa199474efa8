# A Triton for a node, started by `rayton serve`. Two kinds, by --target:
#   nvidia     from an image that has /opt/tritonserver/bin/tritonserver, with its own backends; CPUs and GPUs (the default)
#   embedded   from a plain Debian 12, with the server of PyPI; for one machine, a test or a demo
ARG BASE=nvcr.io/nvidia/tritonserver:26.07-py3
# @sha256:... fixes the very image; docker/README.md says where it is found.
ARG BASE_DIGEST=

FROM ${BASE}${BASE_DIGEST} AS python
ENV PATH=/opt/rayton/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log \
    && python3 -m venv /opt/rayton

FROM python AS wheel
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python AS rayton
RUN --mount=type=bind,source=constraints.txt,target=/build/constraints.txt \
    --mount=type=bind,source=pyproject.toml,target=/build/pyproject.toml \
    --mount=type=bind,source=docker/requirements.py,target=/build/requirements.py \
    python /build/requirements.py /build/pyproject.toml > /tmp/requirements.txt \
    && pip install --no-cache-dir --constraint /build/constraints.txt --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-deps --no-index /wheels/*.whl
# What a server writes: notes of what runs, Triton's log, the copy of the repository, and /tmp. The rest may be read-only.
ENV HOME=/tmp RAYTON_HOME=/var/lib/rayton
# Where other machines reach it, the server makes a key for control calls; here its own health checks find it.
ENV RAYTON_CONTROL_KEY_FILE=/var/lib/rayton/servers/control.key
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rayton \
    && install --directory /repository/models \
    && install --directory --owner rayton --group rayton /var/cache/rayton \
        /var/lib/rayton /var/lib/rayton/servers /var/lib/rayton/logs

FROM rayton AS embedded
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libpython3.11 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log
RUN rayton runtime install
USER 10001:10001
RUN --mount=type=bind,source=docker/smoke/server.sh,target=/build/smoke.sh sh /build/smoke.sh
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rayton-server" \
      org.opencontainers.image.description="Rayton with the Triton Inference Server of PyPI" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=30s --timeout=30s --start-period=600s CMD ["rayton", "health", "localhost:8001"]
# In a container other addresses are its own network's: whoever publishes a port decides who reaches it.
ENTRYPOINT ["rayton", "serve", "--cache", "/var/cache/rayton", "--address", "0.0.0.0", "--allow-remote"]
CMD ["--repository", "/repository/models"]

FROM rayton AS nvidia
USER 10001:10001
RUN --mount=type=bind,source=docker/smoke/server.sh,target=/build/smoke.sh \
    sh /build/smoke.sh --tritonserver /opt/tritonserver/bin/tritonserver
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rayton-server" \
      org.opencontainers.image.description="Rayton with NVIDIA's Triton Inference Server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=30s --timeout=30s --start-period=600s CMD ["rayton", "health", "localhost:8001"]
ENTRYPOINT ["rayton", "serve", "--cache", "/var/cache/rayton", "--address", "0.0.0.0", \
            "--tritonserver", "/opt/tritonserver/bin/tritonserver"]
CMD ["--repository", "/repository/models"]
