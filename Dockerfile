# SPDX-License-Identifier: MIT
# The image of the service, and the base image of applications of others (README.md, "In a container").
#
# The same inputs give the same layers: every file has one date, and SOURCE_DATE_EPOCH and PYTHONHASHSEED keep the
# time and the order of the build out of the wheel and out of the bytecode, which checks its source by its hash.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
ENV SOURCE_DATE_EPOCH=315532800 PYTHONHASHSEED=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# An environment beside the base's own packages. It uses the base's pip, which needs to be told.
RUN python3 -m venv --without-pip --system-site-packages /opt/ashapp
COPY requirements/image.txt /source/requirements/
RUN PIP_PYTHON=/opt/ashapp/bin/python pip install --require-hashes --only-binary :all: \
      --requirement /source/requirements/image.txt

COPY requirements/build.txt /source/requirements/
RUN pip install --require-hashes --only-binary :all: --requirement /source/requirements/build.txt
COPY pyproject.toml README.md LICENSE /source/
COPY backend /source/backend
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheel /source \
 && PIP_PYTHON=/opt/ashapp/bin/python pip install --no-deps --no-index --root /layers/project /wheel/*.whl

# What changes seldom, and the project. Pygments comes with rich; the bytecode of its lexers is 5 MB that no one loads.
WORKDIR /layers/dependencies
RUN mkdir app etc opt \
 && cp --archive /etc/passwd /etc/group etc \
 && echo ashapp:x:10001:10001::/app:/usr/sbin/nologin >> etc/passwd \
 && echo ashapp:x:10001: >> etc/group \
 && cp --archive /opt/ashapp opt \
 && rm -r opt/ashapp/lib/python*/site-packages/pygments/lexers/__pycache__ \
 && find /layers -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

FROM ${BASE_IMAGE}
COPY --from=build /layers/dependencies /
COPY --from=build /layers/project /

# PIP_PYTHON: what is installed on top of this image goes where the service finds it.
# ASHAPP_PRESTART: an executable prestart.sh in the working directory runs before the start.
ENV PATH=/opt/ashapp/bin:$PATH \
    VIRTUAL_ENV=/opt/ashapp \
    PIP_PYTHON=/opt/ashapp/bin/python \
    PYTHONUNBUFFERED=1 \
    ASHAPP_PRESTART=auto
WORKDIR /app
USER 10001:10001
EXPOSE 5000 5001
# Liveness: who restarts an unhealthy container should not do so because a database is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["ashapp", "check", "live"]
# 'ashapp' alone, so that 'docker run IMAGE --threads 20' and 'docker run IMAGE routes shop:app' work too.
ENTRYPOINT ["ashapp"]
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
