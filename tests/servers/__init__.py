"""Real servers for the tests: RabbitMQ, MariaDB, and a few programs, without root and without installing anything.

Each is looked for in this order, and the first way that works is used (`discovery`):

1. a URL in the environment: MAILPACT_TEST_AMQP_URL, MAILPACT_TEST_DATABASE_URL;
2. what Debian's packages have installed on this machine, started as a private node;
3. the same packages, downloaded by apt into a cache folder and unpacked there (`packages`), started as a private node;
4. `docker compose`.

Newer servers than the machine's own are a lane (`lanes`): MAILPACT_TEST_DEBIAN names another release of Debian, whose
packages are taken the third way and no other.

A private node has its own name, ports, cookie and data, listens on loopback alone, and belongs to one process of the
test run. All that a run starts lives in one temporary folder (`run_folder`); when the run ends, killed or not, a
keeper outside of it kills every process of that folder and removes it.

Files in the order of their imports: keeper, run_folder, private_process, own_libc, packages, lanes; epmd, rabbitmq,
managed_rabbitmq; databases, database_server, mariadb, mysql; compose; programs; discovery; servers; plugin (for
pytest) and __main__ (for developers).
"""
