# The example inbox (examples/webhooks) with the bridge's programs, for docker-compose.yml. Your own app's image needs
# no more of it than "pip install deferred-event-bridge".

FROM python:3.13-slim AS install
WORKDIR /src
RUN python -m venv /venv
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bridge bridge
COPY app_adapter app_adapter
COPY worker worker
COPY dead_letter dead_letter
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt .

FROM python:3.13-slim
# What is mounted here is a named volume: an empty one takes over the directory's owner and mode.
RUN groupadd --gid 10001 bridge \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin bridge \
    && install -d -o bridge -g bridge -m 0750 /run/bridge /data
COPY --from=install /venv /venv
COPY examples/webhooks /app/webhooks
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin
WORKDIR /app
USER 10001:10001
