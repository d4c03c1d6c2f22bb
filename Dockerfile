# syntax=docker/dockerfile:1
FROM python:3.12-slim-bookworm AS build
# The build of PyTorch; --build-arg TORCH_INDEX= takes the one with CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
WORKDIR /build
COPY requirements.txt .
RUN if [ -n "$TORCH_INDEX" ]; then \
      /venv/bin/pip install --no-deps --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.txt)"; \
    fi && \
    /venv/bin/pip install -r requirements.txt

FROM python:3.12-slim-bookworm
# ncnn, which enlarges pictures, computes with OpenMP.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install -y --no-install-recommends libgomp1 && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --uid 10001 --user-group --no-create-home --home-dir /data imagineer && \
    install -d -o imagineer -g imagineer /data
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
RUN /venv/bin/python -m compileall -q imagineer gallery training manage.py
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 HOME=/data IMAGINEER_DATA_DIR=/data HOST=0.0.0.0 PORT=8000
USER 10001:10001
VOLUME /data
EXPOSE 8000
# A first start migrates the database and collects the static files.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["python", "-m", "imagineer.probe"]
CMD ["python", "manage.py", "run"]
