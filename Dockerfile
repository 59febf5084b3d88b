# One image for every command. By itself: docker build -t mailpact . && docker run --rm mailpact --help
# All services together: docs/how-to/compose.md

FROM python:3.13-slim-trixie AS build
WORKDIR /src
COPY requirements/runtime.lock requirements/
# Everything that is installed below, and what builds the wheel, is held against the lock's hashes here.
RUN python3 -m venv /build \
 && /build/bin/pip download --quiet --no-cache-dir --dest /wheels \
      --require-hashes --only-binary :all: --requirement requirements/runtime.lock
COPY . .
RUN /build/bin/pip install --quiet --no-index --find-links /wheels hatchling editables \
 && /build/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python3 -m venv --without-pip /opt/mailpact \
 && /build/bin/pip --python /opt/mailpact/bin/python install --quiet --no-index --find-links /wheels 'mailpact[fast]'

FROM python:3.13-slim-trixie
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin mailpact \
 && install --directory --owner=mailpact --group=mailpact --mode=0700 /data
COPY --from=build /opt/mailpact /opt/mailpact
ENV PATH=/opt/mailpact/bin:$PATH
# By number, so that what runs containers can see that it is not root. A volume at /data is its to write to.
USER 10001:10001
WORKDIR /data
ENTRYPOINT ["mailpact"]
CMD ["--help"]
