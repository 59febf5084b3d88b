# One image for every command. To run one command: docker build -t mailpact . && docker run --rm mailpact --help
# To run all services together: docs/how-to/compose.md

FROM python:3.13-slim-trixie AS build
WORKDIR /src
COPY requirements/runtime.lock requirements/
# All packages that are installed below, or that build the wheel, are checked against the hashes of the lock here.
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
# The user is a number, so that a container platform can see that it is not root. This user may write to a volume at /data.
USER 10001:10001
WORKDIR /data
ENTRYPOINT ["mailpact"]
CMD ["--help"]
