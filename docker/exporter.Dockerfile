# Turns models into versions of a repository: Rayton with PyTorch for processors. It runs once for each export.
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
# The index of PyTorch's builds for processors: the ones of PyPI bring CUDA along, and the last step refuses them.
ARG PIP_EXTRA_INDEX_URL
RUN --mount=type=bind,source=constraints.txt,target=/build/constraints.txt \
    --mount=type=bind,source=pyproject.toml,target=/build/pyproject.toml \
    --mount=type=bind,source=docker/requirements.py,target=/build/requirements.py \
    python /build/requirements.py /build/pyproject.toml export > /tmp/requirements.txt \
    && pip install --no-cache-dir --constraint /build/constraints.txt --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-deps --no-index /wheels/*.whl
# What it writes: /tmp, and a repository on a volume. The rest may be read-only.
ENV HOME=/tmp RAYTON_HOME=/tmp/rayton
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rayton \
    && install --directory --owner rayton --group rayton /repository
USER 10001:10001
RUN --mount=type=bind,source=docker/smoke/exporter.sh,target=/build/smoke.sh sh /build/smoke.sh
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rayton-exporter" \
      org.opencontainers.image.description="Rayton with PyTorch: exports models to Triton repositories" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# It ends by itself, and its exit status says how.
HEALTHCHECK NONE
ENTRYPOINT ["rayton", "export"]
CMD ["--help"]
