"""How gunicorn serves the site: one small process, with threads for slow readers and event streams."""

from typing import Any

from imagineer.processes import die_with_parent

wsgi_app = "imagineer.wsgi"
workers = 1
worker_class = "gthread"
threads = 16
timeout = 60  # seconds without a heartbeat of the process; a slow request has as long as it needs
graceful_timeout = 5  # event streams never end by themselves
keepalive = 15
limit_request_line = 8190
loglevel = "warning"
control_socket_disable = True


def post_fork(arbiter: Any, worker: Any) -> None:
    die_with_parent(arbiter.pid)
