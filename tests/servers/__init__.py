"""Real servers, workers and qbeat processes for tests; `fixtures` hands them out."""

from tests.servers.beat import QbeatProcess, run_qbeat
from tests.servers.mariadb import MariadbServer
from tests.servers.memcached import MemcachedServer
from tests.servers.pgbouncer import PgbouncerServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import Process
from tests.servers.proxy import TcpProxy
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer
from tests.servers.server import Server, find_program, free_port
from tests.servers.waiting import eventually
from tests.servers.watcher import watch
from tests.servers.worker import CeleryWorker, clean_environment

__all__ = [
    "CeleryWorker",
    "MariadbServer",
    "MemcachedServer",
    "PgbouncerServer",
    "PostgresServer",
    "Process",
    "QbeatProcess",
    "RabbitMQServer",
    "RedisServer",
    "Server",
    "TcpProxy",
    "clean_environment",
    "eventually",
    "find_program",
    "free_port",
    "run_qbeat",
    "watch",
]
