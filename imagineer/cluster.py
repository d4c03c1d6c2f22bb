"""One django-q2 cluster: `python -m imagineer.cluster SUPERVISOR_PID`, with its name in Q_CLUSTER_NAME."""

import os
import sys

from imagineer.processes import die_with_parent, forks_die_with_parents


def main() -> None:
    die_with_parent(int(sys.argv[1]))
    forks_die_with_parents()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "imagineer.settings")
    import django

    django.setup()
    from imagineer import queue

    queue.run_cluster()


if __name__ == "__main__":
    main()
