# The image carries the runtime only: the first section of the lock file, the application and its migrations.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock ./
RUN sed '/^# --- development/,$d' requirements.lock > runtime.lock \
    && python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: -r runtime.lock

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 leadkeeper \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin leadkeeper \
    && install -d -o leadkeeper -g leadkeeper -m 700 /app/data \
    && printf '#!/bin/sh\nexec python -m app.cli "$@"\n' > /usr/local/bin/leadkeeper \
    && chmod 755 /usr/local/bin/leadkeeper
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY alembic.ini ./
COPY migrations ./migrations
COPY app ./app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LEADKEEPER_DATA_DIR=/app/data \
    HOST=0.0.0.0 \
    PORT=8000 \
    LOG_JSON=true
USER 10001:10001
VOLUME /app/data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
CMD ["leadkeeper", "serve"]
