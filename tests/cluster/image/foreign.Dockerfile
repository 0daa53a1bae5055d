# SPDX-License-Identifier: MIT
# An application that knows nothing of the project.
ARG BASE=ashapp-backend
FROM ${BASE}
USER 0
RUN pip install --no-cache-dir "httpbin>=0.10.2"
USER 10001
