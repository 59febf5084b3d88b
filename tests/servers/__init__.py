"""Real servers for the tests: RabbitMQ, MariaDB, and a few programs, without root and without installing anything.

`where` chooses the servers and programs. A private node has its own name, ports, cookie and data, listens on loopback
alone, and belongs to one process of the test run. Everything that a run starts has its files in one temporary folder
(`run_folder`). When the run ends, also after a kill, the keeper, a separate process, kills every process of that folder
and removes the folder. Files in the order of their imports: run_folder, own_libc, packages; rabbitmq, cluster,
database, postfix; where; plugin (for pytest) and __main__ (for developers).
"""
