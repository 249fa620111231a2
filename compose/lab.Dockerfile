# The servers of the lab, as Debian has them. Production has PgBouncer of here, too, whose makers publish no image, and else the
# images of the makers.
ARG SERVER_IMAGE=debian:bookworm-slim

FROM ${SERVER_IMAGE} AS postgres
RUN apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/* \
    && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data
COPY compose/postgres/start.sh /usr/local/bin/start-postgres
USER postgres
HEALTHCHECK --interval=2s --timeout=5s --retries=30 CMD ["pg_isready", "-q", "-h", "127.0.0.1"]
ENTRYPOINT ["/bin/bash", "/usr/local/bin/start-postgres"]

FROM ${SERVER_IMAGE} AS pgbouncer
RUN apt-get update && apt-get install -y --no-install-recommends pgbouncer && rm -rf /var/lib/apt/lists/*
COPY compose/pgbouncer/pgbouncer.ini /etc/pgbouncer/pgbouncer.ini
USER postgres
ENTRYPOINT ["pgbouncer"]
CMD ["/etc/pgbouncer/pgbouncer.ini"]

FROM ${SERVER_IMAGE} AS prometheus
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* \
    && install -d -o prometheus -g prometheus /var/lib/prometheus
USER prometheus
WORKDIR /var/lib/prometheus
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/var/lib/prometheus"]
