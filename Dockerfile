# The example inbox (examples/webhooks) with the bridge's programs, for docker-compose.yml. For the image of your own app
# you need only the first stage.

FROM python:3.13-slim AS install
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# pip checks the hash of each file that it fetches. The project itself is built by a setuptools that was checked too.
COPY requirements requirements
RUN python -m venv /venv && python -m venv /build \
    && /venv/bin/pip install --require-hashes --only-binary :all: -r requirements/runtime.txt \
    && /build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
COPY app_adapter app_adapter
COPY worker worker
COPY dead_letter dead_letter
COPY deferred_event_bridge deferred_event_bridge
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /venv/bin/pip install --no-deps --no-index /wheels/*.whl

FROM python:3.13-slim
# Mount points of named volumes. An empty volume gets the owner and mode of its mount point.
RUN groupadd --gid 10001 bridge \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin bridge \
    && install -d -o bridge -g bridge -m 0750 /run/bridge /data
COPY --from=install /venv /venv
COPY examples/webhooks /app/webhooks
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin
WORKDIR /app
USER 10001:10001
