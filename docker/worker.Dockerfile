# A node of a Ray cluster that reads, prepares, scores and writes: Rayton with Ray, without torch. Every node of a
# cluster runs this image, its head too.
ARG BASE=docker.io/library/debian:12-slim
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

FROM python
RUN --mount=type=bind,source=constraints.txt,target=/build/constraints.txt \
    --mount=type=bind,source=pyproject.toml,target=/build/pyproject.toml \
    --mount=type=bind,source=docker/requirements.py,target=/build/requirements.py \
    python /build/requirements.py /build/pyproject.toml score observe > /tmp/requirements.txt \
    && pip install --no-cache-dir --constraint /build/constraints.txt --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-deps --no-index /wheels/*.whl
# What a node writes: /tmp, where Ray has its sessions, and notes of what runs. The rest may be read-only.
ENV HOME=/tmp RAYTON_HOME=/var/lib/rayton RAY_USAGE_STATS_ENABLED=0
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rayton \
    && install --directory --owner rayton --group rayton /var/lib/rayton
USER 10001:10001
RUN --mount=type=bind,source=docker/smoke/worker.sh,target=/build/smoke.sh sh /build/smoke.sh
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rayton-worker" \
      org.opencontainers.image.description="Rayton with Ray: reads, prepares, scores and writes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
EXPOSE 6379 8080 8265
# What the agent of each node says of its raylet, and on the head also of the cluster's store.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://localhost:52365/api/healthz', timeout=10)"]
CMD ["ray", "start", "--head", "--block", "--dashboard-host", "0.0.0.0", "--metrics-export-port", "8080"]
