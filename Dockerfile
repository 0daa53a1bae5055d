# SPDX-License-Identifier: MIT
# The image of the service, and the base image of applications of others (README.md, "In a container").
#
# The same inputs give the same layers: every file has one date, and nothing is kept of a build's time and order.
# The base stands in a line of its own, where Dependabot can read and change it. It reads no arguments. What is published
# is built on its digest (.github/scripts/base).
ARG BASE_IMAGE=python

FROM python:3.13-slim AS python

# checkov:skip=CKV_DOCKER_7: The base has a tag, above.
FROM ${BASE_IMAGE} AS base

FROM base AS build
ENV SOURCE_DATE_EPOCH=315532800 \
    PYTHONHASHSEED=0 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

# An environment beside the base's own packages. It uses the base's pip, which needs to be told.
RUN python3 -m venv --without-pip --system-site-packages /opt/ashapp
COPY requirements/image.txt /source/requirements/
RUN PIP_PYTHON=/opt/ashapp/bin/python pip install --no-compile --require-hashes --only-binary :all: \
      --requirement /source/requirements/image.txt

COPY requirements/build.txt /source/requirements/
RUN pip install --require-hashes --only-binary :all: --requirement /source/requirements/build.txt
COPY pyproject.toml README.md LICENSE /source/
COPY backend /source/backend
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheel /source \
 && PIP_PYTHON=/opt/ashapp/bin/python pip install --no-compile --no-deps --no-index /wheel/*.whl

# Bytecode, which a read-only container could not keep: of what a server and a check import, the base's library
# included, which has none. A server that runs here tells what that is.
WORKDIR /imported
ENV PATH=/opt/ashapp/bin:$PATH
# It is ended by a signal, as a container's is.
# hadolint ignore=DL3001
RUN export ASHAPP_DRAIN_DELAY=0 PYTHONDONTWRITEBYTECODE='' PYTHONPYCACHEPREFIX="$PWD"; \
    ashapp serve & server=$!; \
    timeout 60 sh -c 'until ashapp check http http://127.0.0.1:5000/; do sleep 0.2; done' \
 && kill $server && wait $server
# By dates that are the same in each build, and one after the other.
RUN find /opt/ashapp -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} + \
 && find . -name '*.pyc' -printf '/%P\n' > sources \
 && sed --in-place 's/[.]cpython-[0-9]*[.]pyc$/.py/' sources \
 && sort --output=sources sources \
 && python -m compileall -q --invalidation-mode timestamp -i sources

# Two layers: what changes seldom, and the project.
WORKDIR /layers/dependencies
RUN mkdir app etc opt ../project \
 && cp --archive /etc/passwd /etc/group etc \
 && echo ashapp:x:10001:10001::/app:/usr/sbin/nologin >> etc/passwd \
 && echo ashapp:x:10001: >> etc/group \
 && cp --archive /opt/ashapp opt \
 && find /usr -name '*.pyc' -newer /imported/sources -exec cp --archive --parents --target-directory=. {} + \
 && cp --archive --parents opt/ashapp/bin/ashapp opt/ashapp/lib/python*/site-packages/ashapp* ../project \
 && rm -r opt/ashapp/bin/ashapp opt/ashapp/lib/python*/site-packages/ashapp* \
 && chmod --recursive u=rwX,go=rX /layers \
 && find /layers -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

FROM base
COPY --from=build /layers/dependencies /
COPY --from=build /layers/project /

# PIP_PYTHON: what is installed on top of this image goes where the service finds it.
# ASHAPP_PRESTART: an executable prestart.sh in the working directory runs before the start.
# ASHAPP_MANAGEMENT_HOST: nothing but what is published gets in, and a scraper comes from outside.
ENV PATH=/opt/ashapp/bin:$PATH \
    VIRTUAL_ENV=/opt/ashapp \
    PIP_PYTHON=/opt/ashapp/bin/python \
    PYTHONUNBUFFERED=1 \
    ASHAPP_PRESTART=auto \
    ASHAPP_MANAGEMENT_HOST=0.0.0.0
WORKDIR /app
USER 10001:10001
EXPOSE 5000 5001
# Liveness: who restarts an unhealthy container should not do so because a database is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["ashapp", "check", "live"]
# 'ashapp' alone, so that 'docker run IMAGE --threads 20' and 'docker run IMAGE routes shop:app' work too.
# Process 1 gets no signal that it does not handle. So while the interpreter starts they are held back, not lost.
ENTRYPOINT ["env", "--block-signal=TERM,INT", "ashapp"]
CMD ["serve"]

# What differs from build to build comes last, and is in no layer.
ARG BASE_IMAGE
ARG VERSION=
ARG REVISION=
ARG CREATED=
ARG SOURCE=
ENV ASHAPP_COMMIT=${REVISION}
LABEL org.opencontainers.image.title="ashapp-backend" \
      org.opencontainers.image.description="Runs a Flask application, unchanged, as an async ASGI service." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
