"""Real servers for the tests: RabbitMQ, MariaDB, and a few programs, without root and without installing anything.

`where` says which ways there are to a server. A private node has its own name, ports, cookie and data, listens on
loopback alone, and belongs to one process of the test run. All that a run starts lives in one temporary folder
(`run_folder`); when the run ends, killed or not, a keeper outside of it kills every process of that folder and removes
it. Files in the order of their imports: run_folder, own_libc, packages; rabbitmq, cluster, database, programs, postfix;
where; plugin (for pytest) and __main__ (for developers).
"""
